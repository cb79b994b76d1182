"""`SoFar`: says from time to time how far something is whose end is not in sight."""

import logging
import time

logger = logging.getLogger(__name__)

TOLD = 5.0
"""Seconds after which a listing says how far it is."""


class SoFar:
    """What has something to tell, and tells it every `TOLD` seconds, the first time after as many."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def tell(self, message: str, *values: object) -> None:
        """Log a message, if the last one is long ago."""
        if (now := time.monotonic()) >= self._told + TOLD:
            self._told = now
            logger.info(message, *values)
