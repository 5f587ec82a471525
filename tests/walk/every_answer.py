"""Over everything that was answered during the walk: what every error carries, and that no secret came back."""

from collections import Counter

from harness import rule

DETAIL_OF = {
    "INVALID_FIELD": "BadRequest",
    "TOKEN_LIMIT": "QuotaFailure",
    "STORE_AWAY": "RetryInfo",
    "OVERLOADED": "RetryInfo",
    "REVISION_NOT_REACHED": "RetryInfo",
}
DELIBERATE = ("GetToken", "NoSuchMethod")  # bytes that are no message, a method that is not there: bad_input.any_bytes
SHOWS = ("CreateToken", "Rekey")


@rule("Every error carries `ErrorInfo` (`reason` UPPER_SNAKE, domain `keyward.v1`), with BadRequest / QuotaFailure / RetryInfo / PreconditionFailure where they fit")
def errors(w):
    errors = [reply for reply in w.server.replies if not reply.ok]
    w.check(f"there were errors to look at ({len(errors)})", bool(errors) or w.passed < 50, "none")
    bare = Counter(str(reply) for reply in errors if "ErrorInfo" not in reply.details)
    w.check("each has ErrorInfo", not bare, bare.most_common(3))
    informed = [reply for reply in errors if "ErrorInfo" in reply.details]
    foreign = Counter(reply.details["ErrorInfo"].domain for reply in informed)
    w.check("of our domain", set(foreign) <= {"keyward.v1"}, foreign)
    shapeless = {r.error_reason for r in informed if not r.error_reason or r.error_reason.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")}
    w.check("with an UPPER_SNAKE reason", not shapeless, shapeless)
    for reply in informed:
        wanted = DETAIL_OF.get(reply.error_reason) or ("PreconditionFailure" if reply.code == "FAILED_PRECONDITION" else None)
        if wanted and wanted not in reply.details:
            w.check(f"{reply.method}: {reply.error_reason} carries {wanted}", False, list(reply.details))
    silent = Counter(f"{r.method} {r.error_reason}" for r in informed if r.code == "PERMISSION_DENIED" and r.error_reason == "GRANT_MISSING" and not r.details["ErrorInfo"].metadata.get("grant"))
    w.check("each GRANT_MISSING names the grant", not silent, silent)
    wordless = Counter(reply.method for reply in errors if len(reply.text) < 8)
    w.check("each says it in words", not wordless, wordless)
    internal = Counter(str(r) for r in errors if r.code in ("UNKNOWN", "INTERNAL", "CANCELLED", "DEADLINE_EXCEEDED", "UNIMPLEMENTED") and r.method not in DELIBERATE)
    w.check("none is UNKNOWN, INTERNAL, CANCELLED, DEADLINE_EXCEEDED or UNIMPLEMENTED", not internal, internal.most_common(3))


@rule("a secret appears in the response of CreateToken and Rekey (and in its replay …) and nowhere else (promise 6)")
def secrets(w):
    needles = {text for text in w.secrets if len(text) > 12}
    bodies = {text[-49:-6] for text in needles if text.startswith("kw_")}
    scanned, found = 0, Counter()
    for reply in w.server.replies:
        text = shown(reply)
        scanned += 1
        if any(needle in text for needle in needles) or any(body in text for body in bodies):
            found[reply.method] += 1
    w.check(f"{scanned} answers were scanned for {len(needles)} secrets", scanned > 0 and bool(needles), scanned)
    w.check("none shows one", not found, found)


def shown(reply):
    """All that an answer says, but for the secret where it belongs."""
    if not reply.ok:
        return f"{reply.text} {reply.details}"
    if reply.method not in SHOWS:
        return str(reply.message)
    rest = type(reply.message)()
    rest.CopyFrom(reply.message)
    rest.ClearField("secret")
    rest.ClearField("basic_authorization")
    return str(rest)
