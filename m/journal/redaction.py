"""Secrets that slipped into a text for people are not written down. Knows no record."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "***"
"""What stands where a secret was."""

# Nothing is searched twice, since a text may be built to make that slow: repetitions are bounded, or nothing follows
# them that could fail.
_USER_OF_URL: Final = re.compile(r"""(?<=://)[^\s/"<>]+(?=@)""")
_KEY: Final = r"(?: secret | private | access | api ) [ _-]? key"
_NAME: Final = rf"(?: secret | passwo?r?d | passphrase | (?<! [a-z] ) pwd | credentials? | {_KEY} | authorization )"
# A count is no secret: "max_token=512".
_COUNT: Final = r"""\\?["']? [\d.,e+-]{1,20} [kmbt]? (?: [\s,;)}\]"'&\\] | $ )"""
_IS: Final = r"""\\?["']? \s{0,3} [=:＝：]{1,2}+ >?+ \s{0,3}"""
_SPACE: Final = r"\s{1,3} (?! [\s-] )"
# Between quotes it ends with the quote. Else with a space, or with a comma that is followed by a space or another name.
_VALUE: Final = r"""
    (?: (?P<quote> \\?["'] ) (?: \\. | . )*? (?= (?P=quote) | \Z )
      | (?: (?: bearer | basic | digest | token ) \s{1,3} )?
        (?: [^\s"',;)&] | [,;)&] (?= [^\s"',;)&] ) (?! [\w.-]{1,60} \s? [=:] ) )+ )
"""


def _after(name: str, between: str) -> re.Pattern[str]:
    return re.compile(rf"(?isx) (?P<name> {name} (?: {_NAME} {between} | token {between} (?! {_COUNT} ) ) ) {_VALUE}")


_NAMED: Final = _after("", _IS)
_OPTION: Final = _after(r"(?<! [\w-] ) -- [\w-]{0,40}", _SPACE)


def redacted(text: str) -> str:
    """``text`` without the user part of URLs and without what follows the name of a secret.

    Such names end in ``token``, ``secret``, ``password``, ``passwd``, ``pwd``, ``passphrase``, ``credential``,
    ``api_key``, ``access_key``, ``private_key`` or ``secret_key``, or are ``Authorization``, whatever the case; ``=``,
    ``:`` or, in an option such as ``--token abc``, a space follows. A token that is a mere count stays.
    ``"s3://me:pw@host, hf_token=abc"`` becomes ``"s3://***@host, hf_token=***"``.
    """
    text = _USER_OF_URL.sub(HIDDEN, text)
    return _NAMED.sub(_hidden, _OPTION.sub(_hidden, text))


def _hidden(found: re.Match[str]) -> str:
    return f"{found['name']}{found['quote'] or ''}{HIDDEN}"
