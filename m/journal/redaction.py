"""Secrets that slipped into a text for people are not written down. Knows no record."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
"""What stands where a secret was."""

_USER_OF_URL: Final = re.compile(r"(?<=://)[^\s/@]+(?=@)")
# Each repetition is bounded, since a text may be built to make the search slow. A count ("max_token=512") is no secret.
_IS: Final = r"""["']? \s{0,3} [=:] \s{0,3} ["']?"""
_NAMED: Final = re.compile(
    rf"""(?ix) ( (?: secret | passwo?r?d | api[_-]?key
                   | token (?= {_IS} (?! [\d.,e+-]{{1,20}} [kmbt]? (?: [\s,;)"'] | $ ) ) [^\s"',;)&] ) )
                 {_IS} ) [^\s"',;)&]+"""
)


def redacted(text: str) -> str:
    """``text`` without the user part of URLs and what follows ``token=``, ``secret:``, ``password=`` or ``api_key=``.

    ``"s3://me:pw@host, hf_token=abc"`` becomes ``"s3://***@host, hf_token=***"``.
    """
    return _NAMED.sub(rf"\g<1>{HIDDEN}", _USER_OF_URL.sub(HIDDEN, text))
