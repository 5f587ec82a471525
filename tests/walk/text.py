"""The text of a token, taken apart and put together again by the published rule, to present what nobody was issued."""

import base64
import string
import zlib

ID, SECRET, CHECK = 22, 43, 6
TAIL = ID + SECRET + CHECK
DIGITS, LOWER, UPPER = string.digits, string.ascii_lowercase, string.ascii_uppercase
ALPHABETS = [DIGITS + UPPER + LOWER, DIGITS + LOWER + UPPER, UPPER + LOWER + DIGITS, LOWER + UPPER + DIGITS]


def parts(text):
    """Prefix, id, secret and check of a kw_ text."""
    prefix, tail = text[:-TAIL], text[-TAIL:]
    return prefix, tail[:ID], tail[ID : ID + SECRET], tail[ID + SECRET :]


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Forge:
    """Makes texts whose checksum is right; it learns how the six characters are written from a real text."""

    def __init__(self, real):
        body, check = real[:-CHECK], real[-CHECK:]
        self._alphabet = next((a for a in ALPHABETS if _digits(zlib.crc32(body.encode()), a) == check), None)

    @property
    def works(self):
        return self._alphabet is not None

    def text(self, prefix, token_id, secret):
        body = f"{prefix}{token_id}{secret}"
        return body + _digits(zlib.crc32(body.encode()), self._alphabet)


def _digits(number, alphabet):
    written = ""
    for _ in range(CHECK):
        number, digit = divmod(number, 62)
        written = alphabet[digit] + written
    return written
