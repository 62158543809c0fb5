"""The Hub's own host: repositories, files by revision, and what a push needs."""

import base64
import json
import math
from typing import Any

from fake_hub.http import Handler
from fake_hub.store import LFS_SUFFIXES, Blob, Refused, Repository


class HubHandler(Handler):
    """Routes as huggingface_hub 1.x and 2.x call them."""

    def answer(self, parts: list[str]) -> None:
        match parts:
            case ["api", "repos", "create"]:
                self._create()
            case ["api", "whoami-v2"]:
                self.say(
                    {"name": self.user, "type": "user", "orgs": []} if self.user else {}, 200 if self.user else 401
                )
            case ["api", "validate-yaml"]:
                self.say({"errors": [], "warnings": []})
            case ["api", "models", owner, name, *rest]:
                self._api(f"{owner}/{name}", rest)
            case [owner, name, "info", "lfs", "objects", "batch"]:
                self._batch(f"{owner}/{name.removesuffix('.git')}")
            case [owner, name, "verify"]:
                self._verify(f"{owner}/{name}")
            case [owner, name, "resolve", revision, *path]:
                self._resolve(f"{owner}/{name}", revision, "/".join(path))
            case _:
                raise Refused(404, "", "no such route")

    def _create(self) -> None:
        asked = self.json()
        name = f"{asked.get('organization') or self.user}/{asked['name']}"
        url = {"url": f"{self.hub.endpoint}/{name}"}
        if self.user != name.split("/")[0]:
            raise Refused(403 if self.user else 401, "", f"You don't have the rights to create a model in {name}")
        if name in self.hub.store.repositories:
            raise Refused(409, "", "You already created this model repo", **url)
        self.hub.create(name, private=asked.get("visibility") == "private" or asked.get("private", False))
        self.say(url)

    def _api(self, name: str, rest: list[str]) -> None:
        store, user = self.hub.store, self.user
        match self.command, rest:
            case "GET", []:
                self._describe(store.visible(name, user, content=False), "main")
            case "GET", ["revision", revision]:
                self._describe(store.visible(name, user, content=False), revision)
            case "GET", ["tree", revision, *_]:
                self.say(_tree(store.visible(name, user), revision))
            case "GET", ["refs"]:
                self._refs(store.visible(name, user))
            case "POST", ["paths-info", revision]:
                self._paths(store.visible(name, user), revision)
            case "POST", ["preupload", revision]:
                self._preupload(store.writable(name, user), revision)
            case "POST", ["commit", revision]:
                with self.hub.lock:
                    self._commit(store.writable(name, user), revision)
            case "POST", ["tag", revision]:
                repository, tag = store.writable(name, user), self.json()["tag"]
                if tag in repository.tags:
                    raise Refused(409, "", f"Reference {tag} already exists")
                repository.tags[tag] = repository.resolve(revision)
                self.say({})
            case "POST", ["branch", branch]:
                repository, asked = store.writable(name, user), self.json() if self.body() else {}
                if branch in repository.refs:
                    raise Refused(409, "", f"Reference {branch} already exists")
                repository.refs[branch] = repository.resolve(asked.get("startingPoint") or "main")
                self.say({})
            case _:
                raise Refused(404, "", "no such route")

    def _describe(self, repository: Repository, revision: str) -> None:
        commit = repository.resolve(revision)
        siblings = [{"rfilename": path} for path in repository.trees[commit]]
        facts = {"id": repository.name, "modelId": repository.name, "sha": commit, "siblings": siblings}
        self.say(facts | {"private": repository.private, "gated": "auto" if repository.gated else False, "tags": []})

    def _refs(self, repository: Repository) -> None:
        def rows(kind: str, refs: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in refs.items()]

        branches = {name: oid for name, oid in repository.refs.items() if not name.startswith("refs/")}
        self.say({"branches": rows("heads", branches), "tags": rows("tags", repository.tags), "converts": []})

    def _paths(self, repository: Repository, revision: str) -> None:
        from urllib.parse import parse_qs

        asked = parse_qs(self.body().decode()).get("paths", [])
        self.say([item for item in _tree(repository, revision) if item["path"] in asked])

    def _preupload(self, repository: Repository, revision: str) -> None:
        there = repository.trees[repository.resolve(revision)]
        answers = []
        for file in self.json()["files"]:
            blob = there.get(file["path"])
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            oid = blob and blob.etag
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.say({"files": answers})

    def _batch(self, name: str) -> None:
        self.hub.store.writable(name, self.user)
        objects = [self._upload(name, asked["oid"], asked["size"]) for asked in self.json()["objects"]]
        multipart = any("chunk_size" in o.get("actions", {}).get("upload", {}).get("header", {}) for o in objects)
        answer = {"transfer": "multipart" if multipart else "basic", "objects": objects}
        self.say(answer, **{"Content-Type": "application/vnd.git-lfs+json"})

    def _upload(self, name: str, oid: str, size: int) -> dict[str, Any]:
        if oid in self.hub.store.objects:
            return {"oid": oid, "size": size}
        place = f"{self.hub.files}/objects/{oid}"
        upload: dict[str, Any] = {"href": place}
        if size > self.hub.part:
            count = math.ceil(size / self.hub.part)
            addresses = {f"{n:05}": f"{place}?part={n}" for n in range(1, count + 1)}
            upload = {
                "href": f"{self.hub.files}/complete/{oid}",
                "header": {"chunk_size": str(self.hub.part), **addresses},
            }
        verify = {"href": f"{self.hub.endpoint}/{name}/verify"}
        return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}}

    def _verify(self, name: str) -> None:
        self.hub.store.writable(name, self.user)
        if len(self.hub.store.objects.get(self.json()["oid"], b"")) != self.json()["size"]:
            raise Refused(404, "", "the object has not arrived")
        self.say({})

    def _commit(self, repository: Repository, revision: str) -> None:
        lines = [json.loads(line) for line in self.body().splitlines() if line]
        header = lines[0]["value"]
        head = repository.resolve(revision)
        if header.get("parentCommit", head) != head:
            raise Refused(412, "", "A commit has happened since. Please refresh and try again.")
        tree = dict(repository.trees[head])
        for line in lines[1:]:
            self._change(tree, line["key"], line["value"])
        if self.query.get("create_pr"):
            number = 1 + sum(ref.startswith("refs/pr/") for ref in repository.refs)
            revision = f"refs/pr/{number}"
            repository.refs[revision] = head
        oid = repository.commit(revision, tree, header["summary"])
        url = f"{self.hub.endpoint}/{repository.name}"
        answer = {"commitUrl": f"{url}/commit/{oid}", "commitOid": oid, "success": True}
        if self.query.get("create_pr"):
            answer["pullRequestUrl"] = f"{url}/discussions/{number}"
        self.say(answer)

    def _change(self, tree: dict[str, Blob], kind: str, value: dict[str, Any]) -> None:
        if kind == "file":
            tree[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
        elif kind == "lfsFile":
            tree[value["path"]] = Blob(self.hub.store.objects[value["oid"]], lfs=True)
        elif kind == "deletedFile":
            del tree[value["path"]]
        else:
            raise Refused(400, "", f"unknown operation {kind}")

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.hub.store.visible(name, self.user)
        commit = repository.resolve(revision)
        blob = repository.trees[commit].get(path)
        if blob is None:
            body = json.dumps({"error": "Entry not found"}).encode()
            names = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": commit}
            return self.send(body, 404, **names)
        facts = {"X-Repo-Commit": commit, "ETag": f'"{blob.etag}"'}
        if not blob.lfs:
            return self.send_file(blob.data, **facts)
        self.hub.store.objects[blob.sha256] = blob.data
        linked = {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.data))}
        return self.send(b"", 302, **facts, **linked, Location=f"{self.hub.files}/objects/{blob.sha256}")


def _tree(repository: Repository, revision: str) -> list[dict[str, Any]]:
    tree = repository.trees[repository.resolve(revision)]
    return [_item(path, blob) for path, blob in sorted(tree.items())]


def _item(path: str, blob: Blob) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.data)}
    if blob.lfs:
        item["lfs"] = {"oid": blob.sha256, "size": len(blob.data), "pointerSize": 134}
    return item
