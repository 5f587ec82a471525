"""The third system: application keys (preset `application-keys`), sentence by sentence."""

from client import instant
from harness import now, rule, span
from text import basic

PRESET = "application-keys"


@rule("Id and secret, presented as HTTP Basic;")
def http_basic(w):
    key = w.token(w.account(PRESET))
    w.equal("basic_authorization is the ready-made header", key.basic, basic(key.id, key.secret))
    answer = w.op.ValidateCredentials(authorization=key.basic)
    w.allowed("presented as it is", answer)
    w.equal("  it names the key", answer.token_id, key.id)
    w.denied("another key's id", w.op.ValidateCredentials(authorization=basic("x" * 22, key.secret)), "UNKNOWN")


@rule("secret shown once;")
def shown_once(w):
    account = w.account(PRESET)
    key = w.token(account)
    names = {f.name for f in key.token.DESCRIPTOR.fields} | {f.name for f in key.token.DESCRIPTOR.fields_by_name["secrets"].message_type.fields}
    w.check("Token has no field for it", not names & {"secret", "text", "digest", "basic_authorization"}, names)
    for reply in (w.op.GetToken(token_id=key.id), w.op.ListTokens(account_id=account), w.set_token(key, name="b")):
        w.check(f"{reply.method} does not show it", reply.ok and key.secret not in str(reply.message), reply)
    w.equal("its last four characters are the hint", w.read(key).secrets[0].hint, key.secret[-4:])


@rule("at most three per account;")
def three(w):
    account = w.account(PRESET)
    keys = [w.token(account) for _ in range(3)]
    w.refused("the fourth", w.op.CreateToken(account_id=account, name="n"), "RESOURCE_EXHAUSTED", "TOKEN_LIMIT")
    w.need(w.op.DeactivateToken(token_id=keys[0].id))
    w.need(w.op.DeleteToken(token_id=keys[0].id))
    w.ok("after one was deleted", w.op.CreateToken(account_id=account, name="n"))


@rule("optional description;")
def description(w):
    account = w.account(PRESET)
    w.equal("none", w.token(account).token.description, "")
    key = w.token(account, description="for the dialler")
    w.equal("one", w.read(key).description, "for the dialler")
    w.ok("changed", w.set_token(key, description="for the desk"))
    w.equal("cleared", w.set_token(key, description="").token.description, "")


@rule("full or read-only access;")
def access(w):
    account = w.account(PRESET)
    ask = lambda key, action: w.validate(key.secret, required={"resource": "calls", "action": action})
    full = w.token(account, access="ACCESS_FULL")
    reader = w.token(account, access="ACCESS_READ_ONLY")
    unset = w.token(account)
    w.equal("unset is FULL", w.server.enum("keyward.v1.Access", unset.token.access), "ACCESS_FULL")
    for action in ("read", "write", ""):
        w.allowed(f"full, action {action!r}", ask(full, action))
    w.allowed("read-only, read", ask(reader, "read"))
    w.denied("read-only, write", ask(reader, "write"), "READ_ONLY")
    w.denied("read-only, no action", ask(reader, ""), "READ_ONLY")
    w.allowed("read-only, nothing required", w.validate(reader.secret))
    w.equal("the answer says so", w.server.enum("keyward.v1.Access", w.validate(reader.secret).access), "ACCESS_READ_ONLY")
    w.need(w.set_token(reader, access="ACCESS_FULL"))
    w.allowed("changed to full, write", ask(reader, "write"))


@rule("reset (Rekey with grace 0) kills the old secret at once;")
def reset(w):
    key = w.token(w.account(PRESET))
    new, _ = w.rekey(key, grace=span(0))
    w.denied("the old secret", w.validate(key.secret), "SUPERSEDED")
    w.allowed("the new one", w.op.ValidateCredentials(authorization=new.basic))
    third, _ = w.rekey(key)
    w.denied("grace unset: the policy's, which is 0", w.validate(new.secret), "SUPERSEDED")
    w.allowed("the newest", w.validate(third.secret))


@rule("three concurrent connections per key;")
def connections(w):
    account = w.account(PRESET)
    key, other = w.token(account), w.token(account)
    streams = []

    def hold(key):
        streams.append(w.op.open("HoldConnection", request={"token": key.secret}))
        return streams[-1].next(5)

    for count in (1, 2, 3):
        first = hold(key)
        w.allowed(f"connection {count}", first)
        w.equal("  held, of", (first.held, first.limit), (count, 3))
    w.denied("the fourth", hold(key), "TOO_MANY_CONNECTIONS")
    w.check("  its stream ends", streams.pop().next(5) is None, "it goes on")
    w.allowed("another key's", hold(other))
    streams.pop(0).leave()
    w.until("one is closed: there is room for another", lambda: hold(key).verdict == "ALLOW")
    w.need(w.op.DeactivateToken(token_id=other.id))
    told = streams[2].next(5)
    w.check("a holder is told when its key is deactivated", told is not None and told.ok and told.verdict == "INACTIVE", told)
    w.check("  and the stream ends", streams[2].next(5) is None, "it goes on")
    w.invalid("a dry run holds nothing", w.op.HoldConnection(request={"token": key.secret, "dry_run": True}), "dry_run")
    for stream in streams:
        stream.leave()


@rule("2,500 calls a day shared by the account's keys, back at 00:00 UTC;")
def metered(w):
    account = w.account(PRESET)
    keys = [w.token(account) for _ in range(3)]
    if not w.daylight():
        return w.not_run("daily calls", "the day ends while they would be counted")
    for key, cost, left in ((keys[0], 1, 2_499), (keys[1], 499, 2_000), (keys[2], 1_500, 500), (keys[0], 499, 1), (keys[1], 1, 0)):
        answer = w.validate(key.secret, cost=cost)
        w.allowed(f"{cost} of them", answer)
        w.equal("  of 2,500; left are", (answer.quota.limit, answer.quota.remaining), (2_500, left))
    for key in keys:
        w.denied("then none of the keys", w.validate(key.secret), "QUOTA_EXCEEDED")
    midnight = instant(w.validate(keys[0].secret).quota.reset_time)
    w.equal("back at 00:00 UTC", (midnight.hour, midnight.minute, midnight.second, midnight.microsecond), (0, 0, 0, 0))
    w.check("  the next one", span(0) < midnight - now() <= span(days=1), midnight)


@rule("a page with the account's call count and remaining balance, and each key's name, id, call count and last call time.")
def page(w):
    account = w.account(PRESET)
    if not w.daylight():
        return w.not_run("counts", "the day ends while they would be counted")
    keys = [w.token(account, name=f"key {number}") for number in range(3)]
    w.need(w.validate(keys[0].secret, cost=3))
    w.need(w.validate(keys[1].secret))
    last = now()
    w.denied("a denial", w.validate(keys[1].secret, account_key="wrong"), "ACCOUNT_KEY_MISMATCH")
    page = w.need(w.op.GetUsage(account_id=account, days=1))
    w.equal("the account's call count", page.calls_today, 4)
    w.equal("its limit and balance", (page.limit, page.remaining), (2_500, 2_496))
    shown = {key.token_id: (key.name, key.calls_today) for key in page.tokens}
    w.equal("each key's name, id and call count", shown, {key.id: (key.token.name, count) for key, count in zip(keys, (3, 1, 0))})
    used = {key.token_id: instant(key.last_used_time) for key in page.tokens if key.HasField("last_used_time")}
    w.check("its last call time", set(used) == {keys[0].id, keys[1].id} and all(abs(time - last) < span(seconds=5) for time in used.values()), used)
    w.equal("the day: allowed and denied", [(day.date, day.allowed, day.denied) for day in page.days], [(last.date().isoformat(), 4, 1)])
