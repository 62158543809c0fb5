"""What the Hub keeps: repositories, their commits, branches, tags and pull requests; uploaded objects by sha256."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

LFS_SUFFIXES = (".safetensors", ".png", ".bin")


class Refused(Exception):  # noqa: N818
    """An answer that is no success: the status, and the code by which the client chooses its exception."""

    def __init__(self, status: int, code: str = "", text: str = "", **body: object) -> None:
        super().__init__(text or code)
        self.status, self.code, self.body = status, code, {"error": text or code, **body}


@dataclass(frozen=True)
class Blob:
    """A file's content, kept by git or by its large file storage."""

    data: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """As git names it; of an LFS file that is the name of its pointer."""
        data = f"{self.sha256} {len(self.data)}".encode() if self.lfs else self.data
        return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


Tree = dict[str, Blob]


@dataclass
class Repository:
    """`org/name`; who sees it, and its history."""

    name: str
    private: bool = False
    gated: bool = False
    trees: dict[str, Tree] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """main and other branches, `refs/pr/1`."""
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("main", {}, "initial commit")

    def resolve(self, revision: str) -> str:
        found = self.refs.get(revision) or self.tags.get(revision)
        if found is None and revision in self.trees:
            found = revision
        if found is None:
            raise Refused(404, "RevisionNotFound")
        return found

    def commit(self, ref: str, tree: Mapping[str, Blob], title: str) -> str:
        parent = self.refs.get(ref, "")
        facts = repr((parent, title, sorted((path, blob.oid) for path, blob in tree.items())))
        oid = hashlib.sha1(facts.encode()).hexdigest()
        self.trees[oid], self.titles[oid], self.refs[ref] = dict(tree), title, oid
        return oid

    def add(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """A commit that somebody else made: `files` on top of what `ref` holds."""
        blobs = {path: Blob(data, path.endswith(LFS_SUFFIXES)) for path, data in files.items()}
        return self.commit(ref, self.trees[self.refs[ref]] | blobs, f"add {', '.join(files)}")

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return {path: blob.data for path, blob in self.trees[self.resolve(revision)].items()}


@dataclass
class Store:
    """Everything: repositories by name, uploaded objects by sha256, and who each token belongs to."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """Of uploads that are under way."""
    users: dict[str, str] = field(default_factory=lambda: {"hf_owner_of_org": "org", "hf_some_other_user": "other"})
    mirror: dict[str, bytes] = field(default_factory=dict)
    """Files of the second address, by name."""

    def visible(self, name: str, user: str | None, *, content: bool = True) -> Repository:
        """The repository, or the refusal that the Hub gives this user."""
        repository = self.repositories.get(name)
        owner = name.split("/")[0]
        if repository is None or (repository.private and user != owner):
            # Who may not see it is not told that it exists; who is nobody is asked to log in.
            raise Refused(401 if user is None else 404, "RepoNotFound", "Repository Not Found")
        if repository.gated and content and user != owner:
            raise Refused(403, "GatedRepo", "Access to this model is restricted")
        return repository

    def writable(self, name: str, user: str | None) -> Repository:
        repository = self.visible(name, user)
        if user != name.split("/")[0]:
            raise Refused(403, "", "You don't have the required permissions")
        return repository
