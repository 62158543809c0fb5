"""A repository on the Hub as a push sees it: what it holds, and one commit that makes it hold something else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from ladder_hub.documents import plain, shown
from ladder_hub.hub import HubError, asking
from ladder_hub.publishing.files import FILES
from ladder_hub.pull import git_digest, sha256_of

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Sent:
    """Where a push left the files."""

    commit: str
    address: str
    """Of the pull request, where there is one, else of the commit."""
    changed: bool
    """False: the repository held these very files already."""


class Remote:
    """`org/name` at a branch, asked through huggingface_hub with the login that it knows."""

    def __init__(self, repo_id: str, revision: str = "main") -> None:
        self.repo_id, self.revision = repo_id, revision
        self.where = plain(f"hf-hub:{repo_id}" + ("" if revision == "main" else f"@{revision}"))
        self._api = HfApi(library_name="ladder-hub")

    def describe(self) -> bool | None:
        """Whether it is private; None: there is none that this login sees."""
        with asking(self.where, self.where):
            try:
                return bool(self._api.model_info(self.repo_id).private)
            except RepositoryNotFoundError:
                return None

    def create(self, *, private: bool) -> None:
        """Make the repository, if need be."""
        with asking(f"{self.where} can't be created", self.where):
            self._api.create_repo(self.repo_id, private=private, exist_ok=True)

    def tags(self) -> dict[str, str]:
        """{tag: commit}."""
        with asking(self.where, self.where):
            return {tag.name: tag.target_commit for tag in self._api.list_repo_refs(self.repo_id).tags}

    def add_tag(self, tag: str, commit: str) -> None:
        """Name a commit, once and for all."""
        with asking(f"{self.where}: the tag {shown(tag)}", self.where):
            self._api.create_tag(self.repo_id, tag=tag, revision=commit)

    def head(self) -> str:
        """The commit that the branch is at; the branch is made where there is none."""
        with asking(self.where, self.where, self.revision):
            try:
                return self._sha(self.revision)
            except RevisionNotFoundError:
                self._api.create_branch(self.repo_id, branch=self.revision, exist_ok=True)
                return self._sha(self.revision)

    def digests(self, commit: str) -> dict[str, str]:
        """What the repository holds: {path: sha256 of a large file, git's digest of a small one}."""
        with asking(self.where, self.where, commit):
            items = list(self._api.list_repo_tree(self.repo_id, revision=commit, recursive=True))
        return {
            item.path: item.lfs.sha256 if item.lfs else item.blob_id for item in items if isinstance(item, RepoFile)
        }

    def holds(self, files: dict[str, Path], commit: str) -> bool:
        """Whether these are the files at a commit."""
        return not _differing(files, self.digests(commit))

    def send(self, files: dict[str, Path], *, message: str, pr: bool) -> Sent:
        """One commit after which the repository holds exactly these of the files that an artifact can have.

        Files that are no artifact's (.gitattributes, pictures for the card) stay.

        Raises:
            HubError: a pickle lies there, somebody else pushed at the same time, no permission, no network, or the
                Hub holds other bytes afterwards than were sent.
        """
        head = self.head()
        there = self.digests(head)
        if pickles := [path for path in there if path.endswith(_PICKLES)]:
            # timm falls back on it when the network fails at the wrong moment.
            raise HubError(f"{self.where} holds the pickle {plain(pickles[0])}; delete it there, then push again")
        if not _differing(files, there):
            return Sent(head, f"{self.where}@{head[:12]}", changed=False)
        operations: list[Any] = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        operations += [CommitOperationDelete(name) for name in FILES if name in there and name not in files]
        with asking(f"{self.where}: nothing was pushed", self.where, self.revision):
            done = self._api.create_commit(
                self.repo_id,
                operations,
                commit_message=message,
                revision=self.revision,
                parent_commit=head,
                create_pr=pr,
            )
        if wrong := _differing(files, self.digests(done.oid)):
            raise HubError(f"{self.where}@{done.oid[:12]}: {wrong[0]} is not what was sent; push again")
        return Sent(done.oid, done.pr_url or f"{self.where}@{done.oid}", changed=True)

    def _sha(self, revision: str) -> str:
        return str(self._api.model_info(self.repo_id, revision=revision).sha)


def _differing(files: dict[str, Path], there: dict[str, str]) -> list[str]:
    """Names of which the repository holds other content, none, or one too many."""
    stale = [name for name in FILES if name in there and name not in files]
    return stale + [name for name, path in files.items() if not _same(path, there.get(name, ""))]


def _same(path: Path, digest: str) -> bool:
    return digest == (sha256_of(path) if len(digest) == 64 else git_digest(path))
