"""Settings and credentials of object stores, found where the tools of the clouds find them.

botocore is asked for them and for nothing else: it knows environment variables, profiles, single sign-on, containers
and machines. Without any, requests are not signed, which public buckets answer.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spora_db.errors import MissingExtraError
from spora_db.files.stores.signing import Keys

GOOGLE = "https://storage.googleapis.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a service is asked.

    Attributes
    ----------
    endpoint
        The address of a service other than Amazon's, without a slash at its end; None for that.
    region
        Where buckets lie, unless the service tells otherwise.
    keys
        Gives who asks, None for nobody; asked for every request, as some credentials expire.
    """

    endpoint: str | None
    region: str
    keys: Callable[[], Keys | None]


def amazon() -> Settings:
    """Return the settings for ``s3://``: those of the AWS tools; ``AWS_NO_SIGN_REQUEST=YES`` signs nothing.

    Raises
    ------
    MissingExtraError
        If botocore is absent.
    """
    try:
        import botocore.session
    except ImportError as error:
        raise MissingExtraError("Reading s3:// needs botocore: pip install 'spora-db[remote]'.") from error
    session: Any = botocore.session.Session()
    config = session.get_scoped_config() if session.profile in (None, *session.available_profiles) else {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or config.get("endpoint_url")
    region = session.get_config_variable("region") or os.environ.get("AWS_REGION") or "us-east-1"
    unsigned = os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "1")
    found = None if unsigned else session.get_credentials()

    def keys() -> Keys | None:
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
        return Keys(access=frozen.access_key, secret=frozen.secret_key, token=frozen.token)

    return Settings(endpoint=endpoint.rstrip("/") if endpoint else None, region=region, keys=keys)


def google() -> Settings:
    """Return the settings for ``gs://``: the interoperable API; signed with HMAC keys of ``GS_ACCESS_KEY_ID``."""
    access, secret = os.environ.get("GS_ACCESS_KEY_ID"), os.environ.get("GS_SECRET_ACCESS_KEY")
    found = Keys(access=access, secret=secret) if access and secret else None
    endpoint = os.environ.get("GS_ENDPOINT_URL", GOOGLE).rstrip("/")
    return Settings(endpoint=endpoint, region="auto", keys=lambda: found)
