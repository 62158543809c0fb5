"""The models for `torch.hub.load("ORG/REPOSITORY", "ladder_byol_r50")`; this package need not be installed.

Each function takes what `ladder_hub.create_model` takes: `features_only`, `out_indices`, `output_stride`,
`num_classes`, `in_chans`, `cache_dir`.
"""

dependencies = ["huggingface_hub", "safetensors", "timm", "torch", "torchvision"]


def _create(name, pretrained, kwargs):
    # Not at the top: torch.hub runs this file before it checks `dependencies`.
    from ladder_hub.models import create_model

    return create_model(name, pretrained, **kwargs)


def byol_r50(pretrained=True, **kwargs):
    """ResNet-50 trained by BYOL, one global loss on res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("byol_r50", pretrained, kwargs)


def dense_byol_r50(pretrained=True, **kwargs):
    """ResNet-50 trained by DenseBYOL, dense and global loss on res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("dense_byol_r50", pretrained, kwargs)


def ladder_byol_r50(pretrained=True, **kwargs):
    """ResNet-50 trained by Ladder-BYOL, a global loss on res2 to res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_byol_r50", pretrained, kwargs)


def ladder_dense_r50(pretrained=True, **kwargs):
    """ResNet-50 trained by Ladder-DenseBYOL, dense below, global above; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_dense_r50", pretrained, kwargs)


def byol_r18(pretrained=True, **kwargs):
    """ResNet-18 trained by BYOL, one global loss on res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("byol_r18", pretrained, kwargs)


def dense_byol_r18(pretrained=True, **kwargs):
    """ResNet-18 trained by DenseBYOL, dense and global loss on res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("dense_byol_r18", pretrained, kwargs)


def ladder_byol_r18(pretrained=True, **kwargs):
    """ResNet-18 trained by Ladder-BYOL, a global loss on res2 to res5; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_byol_r18", pretrained, kwargs)


def ladder_dense_r18(pretrained=True, **kwargs):
    """ResNet-18 trained by Ladder-DenseBYOL, dense below, global above; ImageNet-1k, 200 epochs.

    Args:
        pretrained: Load the published weights; an error says so where there are none. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_dense_r18", pretrained, kwargs)


def byol_test_resnet(pretrained=True, **kwargs):
    """A small ResNet (timm's test_resnet) trained by BYOL, one global loss on res5.

    Tiny-ImageNet-100 at 64 pixels, 5 epochs; it measures methods and is of no use beside that.

    Args:
        pretrained: Load the weights, which lie in this repository. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("byol_test_resnet", pretrained, kwargs)


def dense_byol_test_resnet(pretrained=True, **kwargs):
    """A small ResNet (timm's test_resnet) trained by DenseBYOL, dense and global loss on res5.

    Tiny-ImageNet-100 at 64 pixels, 5 epochs; it measures methods and is of no use beside that.

    Args:
        pretrained: Load the weights, which lie in this repository. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("dense_byol_test_resnet", pretrained, kwargs)


def ladder_byol_test_resnet(pretrained=True, **kwargs):
    """A small ResNet (timm's test_resnet) trained by Ladder-BYOL, a global loss on res2 to res5.

    Tiny-ImageNet-100 at 64 pixels, 5 epochs; it measures methods and is of no use beside that.

    Args:
        pretrained: Load the weights, which lie in this repository. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_byol_test_resnet", pretrained, kwargs)


def ladder_dense_test_resnet(pretrained=True, **kwargs):
    """A small ResNet (timm's test_resnet) trained by Ladder-DenseBYOL, dense below, global above.

    Tiny-ImageNet-100 at 64 pixels, 5 epochs; it measures methods and is of no use beside that.

    Args:
        pretrained: Load the weights, which lie in this repository. False: random weights.
        **kwargs: As for `ladder_hub.create_model`, e.g. `features_only=True`.
    """
    return _create("ladder_dense_test_resnet", pretrained, kwargs)
