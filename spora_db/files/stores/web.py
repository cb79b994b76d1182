"""`WebService`: files at a web address, and of datasets on a hub; the first cannot list, the second can."""

import json
import os
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, urljoin

from spora_db.errors import StoreError
from spora_db.files.stores.http import Answer, Unusable, send
from spora_db.files.stores.manifest import BESIDE
from spora_db.files.stores.so_far import SoFar
from spora_db.files.stores.store import ObjectEntry, ObjectState

MOVED = (301, 302, 303, 307, 308)
HUB = "https://huggingface.co"


class WebService:
    """Files below a web address."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")

    def url(self, key: str) -> str:
        """Return the address of a file."""
        return f"{self._base}/{quote(key, safe='/~')}"

    def headers(self, method: str, url: str, more: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a request."""
        return more

    def list_folder(self, prefix: str) -> list[ObjectEntry]:
        """Refuse: a web address does not tell what lies below it.

        Raises
        ------
        StoreError
            Always.
        """
        raise StoreError(
            f"{self._base} cannot be listed: a web server does not tell which files it has. Run `spora-db index "
            f"--beside` where the lake lies, and upload what it writes, as {self._base}/{BESIDE}; or name a bucket."
        )

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Refuse, as `list_folder`."""
        return self.list_folder(prefix)

    def follow(self, answer: Answer, key: str) -> str | None:
        """Return the address that an answer names instead."""
        return urljoin(answer.url, answer.headers.get("location", "")) if answer.status in MOVED else None

    def refusal(self, answer: Answer) -> str:
        """Say why an answer is none, and what to do."""
        where = answer.url.partition("?")[0]
        return f"{where} answered status {answer.status}. Check the address, and whether one has to log in."


class HubService(WebService):
    """A dataset of a hub, such as ``hf://datasets/owner/name@revision/folder``.

    Parameters
    ----------
    name
        Owner and name.
    revision
        A branch, a tag or a commit.
    folder
        That of a lake in it.
    """

    def __init__(self, name: str, revision: str, folder: str) -> None:
        hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
        self._folder = f"{folder}/" if folder else ""
        super().__init__(f"{hub}/datasets/{name}/resolve/{quote(revision, safe='')}/{quote(folder, safe='/~')}")
        self._hub = f"{hub}/"
        self._tree = f"{hub}/api/datasets/{name}/tree/{quote(revision, safe='')}"

    def headers(self, method: str, url: str, more: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a request, with the user's token, if there is one."""
        token = os.environ.get("HF_TOKEN")
        ours = url.startswith(self._hub)
        return {**more, "Authorization": f"Bearer {token}"} if token and ours else more

    def list_folder(self, prefix: str) -> list[ObjectEntry]:
        """Return the names in a folder, page after page."""
        return [entry._replace(name=entry.name.rpartition("/")[2]) for entry in self._list(prefix, "")]

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder, page after page."""
        return [entry for entry in self._list(prefix, "?recursive=true") if entry.state is not None]

    def _list(self, prefix: str, query: str) -> list[ObjectEntry]:
        """Return what the hub lists, by paths below the folder."""
        folder = (self._folder + prefix).strip("/")
        url = f"{self._tree}/{quote(folder, safe='/~')}".rstrip("/") + query
        found, so_far = list[ObjectEntry](), SoFar()
        while url:
            answer = send("GET", url, prepare=partial(self.headers, "GET", url, {}), check=_check_json)
            if answer.status == 404 and not found:
                return []
            if answer.status != 200:  # half of a listing is none: what it lacks would be taken for gone
                raise StoreError(f"The folder {folder!r} was not listed: {self.refusal(answer)}")
            for item in json.loads(answer.body):
                name = str(item["path"]).removeprefix(f"{folder}/")
                etag = (item.get("lfs") or {}).get("oid") or item.get("oid", "")
                state = ObjectState(size=int(item["size"]), version=f'"{etag}"') if item["type"] == "file" else None
                found.append(ObjectEntry(name, state))
            so_far.tell("Listing %s: %d names so far", self._tree, len(found))
            url = _next(answer.headers.get("link", ""))
        return sorted(found, key=lambda entry: entry.name)


def _check_json(answer: Answer) -> None:
    if answer.status == 200:
        try:
            json.loads(answer.body)
        except ValueError as error:
            raise Unusable("its answer is no JSON but a web page or other text") from error


def _next(link: str) -> str:
    """Return the address of the next page that a Link header names, empty for none."""
    for part in link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return address.strip().strip("<>")
    return ""
