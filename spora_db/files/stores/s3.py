"""`S3Service`: buckets of Amazon, of Google's interoperable API, and of whatever speaks as they do."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, urlencode

from spora_db.errors import StoreError
from spora_db.files.stores.credentials import Settings
from spora_db.files.stores.http import Answer, Unusable, send
from spora_db.files.stores.signing import signed
from spora_db.files.stores.so_far import SoFar
from spora_db.files.stores.store import ObjectEntry, ObjectState

REMEDIES = {
    "NoSuchBucket": "There is no such bucket there. Check its name and, for a service other than Amazon's, "
    "AWS_ENDPOINT_URL.",
    "AccessDenied": "The credentials found here, or their absence, do not allow it. Set AWS_PROFILE, or "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket AWS_NO_SIGN_REQUEST=YES.",
    "InvalidAccessKeyId": "The service does not know this access key. Check AWS_ACCESS_KEY_ID, or the profile.",
    "SignatureDoesNotMatch": "The secret key is not that of the access key. Check AWS_SECRET_ACCESS_KEY, or the "
    "profile.",
    "ExpiredToken": "The credentials have expired, and those found now are no others. Get new ones, such as with "
    "`aws sso login`.",
    "RequestTimeTooSkewed": "The clock of this machine is wrong. Set it.",
}

EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
ELSEWHERE = ("AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect", "TemporaryRedirect")
TO_INDEX = "run spora-db index --beside where it lies, and upload what it writes."


class S3Service:
    """One bucket, and the folder of a lake in it.

    Parameters
    ----------
    bucket, folder
        What ``s3://bucket/folder`` names.
    settings
        How the service is asked.
    """

    def __init__(self, bucket: str, folder: str, settings: Settings) -> None:
        self._settings = settings
        self._folder = f"{folder}/" if folder else ""
        self._bucket, self._region = bucket, settings.region
        self._base = self._address()

    def _address(self) -> str:
        if self._settings.endpoint is not None:
            return f"{self._settings.endpoint}/{self._bucket}"
        if "." in self._bucket:  # no certificate is for such a name
            return f"https://s3.{self._region}.amazonaws.com/{self._bucket}"
        return f"https://{self._bucket}.s3.{self._region}.amazonaws.com"

    def url(self, key: str) -> str:
        """Return the address of a file."""
        return f"{self._base}/{quote(self._folder + key, safe='/~')}"

    def headers(self, method: str, url: str, more: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of a request, signed where there are credentials."""
        keys = self._settings.keys()
        return more if keys is None else signed(method, url, more, keys=keys, region=self._region)

    def follow(self, answer: Answer, key: str) -> str | None:
        """Return the file's address in the region that an answer says the bucket is in."""
        return self.url(key) if self._moved(answer) else None

    def _moved(self, answer: Answer) -> bool:
        """Take over what an answer says that asking otherwise would mend, and tell whether it says so.

        Requests side by side are all told of another region, and only the first of these answers brings news.
        """
        if answer.status < 300:
            return False
        code = _text(answer, "Code")
        if code in EXPIRED:
            return self._settings.renew()
        region = answer.headers.get("x-amz-bucket-region") or _text(answer, "Region")
        if answer.status not in (301, 307, 400) or not region:
            return False
        if region == self._region:
            return code in ELSEWHERE
        self._region = region
        self._base = self._address()
        return True

    def list_folder(self, prefix: str) -> list[ObjectEntry]:
        """Return the names in a folder, a page of 1,000 after another."""
        return self._list(prefix, {"delimiter": "/"})

    def list_tree(self, prefix: str) -> list[ObjectEntry]:
        """Return all files below a folder, a page of 1,000 after another."""
        return self._list(prefix, {})

    def _list(self, prefix: str, more: Mapping[str, str]) -> list[ObjectEntry]:
        folder = f"{self._folder}{prefix}/" if prefix else self._folder
        found: list[ObjectEntry] = []
        token, so_far = "", SoFar()
        while True:
            asked = {"list-type": "2", **more, "prefix": folder, "max-keys": "1000"}
            answer = self._ask(asked | ({"continuation-token": token} if token else {}))
            page = _listing(answer)
            for item in page.iterfind("{*}Contents"):
                name = _inner(item, "Key").removeprefix(folder)
                if name:  # the folder itself, as consoles make it
                    found.append(
                        ObjectEntry(name, ObjectState(size=int(_inner(item, "Size")), version=_inner(item, "ETag")))
                    )
            found += [
                ObjectEntry(_inner(item, "Prefix").removeprefix(folder).rstrip("/"), None)
                for item in page.iterfind("{*}CommonPrefixes")
            ]
            so_far.tell("Listing %s in %s: %d names so far", folder or "all", self._bucket, len(found))
            token = _inner(page, "NextContinuationToken")
            if not token:
                return sorted(found, key=lambda entry: entry.name)

    def _ask(self, asked: Mapping[str, str]) -> Answer:
        for _ in range(3):  # in another region, with new credentials
            url = f"{self._base.rstrip('/')}/?{urlencode(asked, quote_via=quote)}"
            answer = send("GET", url, prepare=partial(self.headers, "GET", url, {}), check=_check_listing)
            if not self._moved(answer):
                break
        if answer.status != 200:
            more = f" A lake with a manifest need not be listed: {TO_INDEX}" if answer.status == 403 else ""
            raise StoreError(f"The bucket {self._bucket!r} was not listed: {self.refusal(answer)}{more}")
        return answer

    def refusal(self, answer: Answer) -> str:
        """Say why an answer is none, and what to do."""
        code = _text(answer, "Code") or {403: "AccessDenied"}.get(answer.status, "")
        remedy = REMEDIES.get(code, "Check the address.")
        there, here = _text(answer, "ServerTime"), _text(answer, "RequestTime")
        clocks = f" It is {there} there, and by the request {here}." if there and here else ""
        said = f"{answer.url.partition('?')[0]} answered status {answer.status}{f' ({code})' if code else ''}."
        return f"{said}{clocks} {remedy}"


def _check_listing(answer: Answer) -> None:
    """Refuse what is no listing: a page of a portal that one has to log in to answers status 200 too."""
    if answer.status != 200:
        return
    try:
        root = ElementTree.fromstring(answer.body)
    except ElementTree.ParseError as error:
        raise Unusable("its answer is no list of a bucket but a web page or other text") from error
    if not root.tag.endswith("ListBucketResult"):
        raise Unusable(f"its answer is no list of a bucket but <{root.tag}>")


def _listing(answer: Answer) -> ElementTree.Element:
    return ElementTree.fromstring(answer.body)


def _inner(item: ElementTree.Element, name: str) -> str:
    return item.findtext(f"{{*}}{name}", "")


def _text(answer: Answer, name: str) -> str:
    """Return the text of an element of an error's XML, empty where the answer is none."""
    try:
        return ElementTree.fromstring(answer.body).findtext(f"{{*}}{name}", "")
    except ElementTree.ParseError:
        return ""
