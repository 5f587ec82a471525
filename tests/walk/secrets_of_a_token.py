"""*Fine print*, Secrets of a token: graces, activation, completing and cancelling."""

from client import instant
from harness import later, rule, span
from text import parts

FIRST_USE = "ACTIVATION_ON_FIRST_USE"


@rule("Old secrets work to the end of their grace and not one second longer (promise 3)")
def grace_ends(w):
    token = w.token(w.account())
    new, answer = w.rekey(token, grace=span(seconds=2))
    end = instant(answer.old_secret_good_until)
    w.equal("the end is rekey and grace", end - instant(answer.token.rekey_time), span(seconds=2))
    old = w.validate(token.secret)
    w.allowed("in the grace", old)
    w.equal("  told when it stops", instant(old.secret_good_until), end)
    w.until("then SUPERSEDED", lambda: w.validate(token.secret).verdict == "SUPERSEDED", within=5)
    w.allowed("the new one", w.validate(new.secret))
    w.equal("superseded ones are not listed", w.secret_states(token), ["CURRENT"])


@rule("never past the token's expiry.")
def never_past_expiry(w):
    token = w.token(w.account(), expire_time=later(hours=1))
    _, answer = w.rekey(token, grace=span(hours=4))
    w.equal("the grace is cut", answer.old_secret_good_until, answer.token.expire_time)
    w.equal("in the list of secrets, too", [s.good_until for s in w.read(token).secrets if s.state == 3], [answer.token.expire_time])
    short = w.token(w.account(), expire_time=later(seconds=2))
    new, _ = w.rekey(short, grace=span(hours=1))
    w.until("both end with the token", lambda: {w.validate(s.secret).verdict for s in (short, new)} <= {"EXPIRED", "SUPERSEDED"})
    w.equal("the current one says EXPIRED", w.validate(new.secret).verdict, "EXPIRED")


@rule("A rekey's grace bounds every older secret: each ends at the earliest of its own end, the new one and the token's expiry.")
def bounds_all(w):
    token = w.token(w.account())
    second, first_answer = w.rekey(token, grace=span(hours=1))
    third, second_answer = w.rekey(token, grace=span(hours=8))
    ends = lambda: {s.version: instant(s.good_until) for s in w.read(token).secrets if s.state == 3}
    oldest = instant(first_answer.old_secret_good_until)
    w.equal("a longer one leaves the older end", ends(), {1: oldest, 2: instant(second_answer.old_secret_good_until)})
    _, third_answer = w.rekey(token, grace=span(minutes=10))
    new_end = instant(third_answer.old_secret_good_until)
    w.equal("a shorter one cuts them all", ends(), {1: new_end, 2: new_end, 3: new_end})
    for number, secret in enumerate((token, second, third), 1):
        w.allowed(f"secret {number} in its grace", w.validate(secret.secret))


@rule("A rekey that would need a fourth retiring one is FAILED_PRECONDITION unless its grace is 0.")
def fourth(w):
    token = w.token(w.account())
    held = [token]
    for _ in range(3):
        held.append(w.rekey(token, grace=span(hours=1))[0])
    w.equal("three are retiring", w.secret_states(token), ["CURRENT", "RETIRING", "RETIRING", "RETIRING"])
    refused = w.op.Rekey(token_id=token.id, grace=span(hours=1))
    w.refused("a fourth", refused, "FAILED_PRECONDITION", "TOO_MANY_RETIRING_SECRETS")
    w.check("  with PreconditionFailure", "PreconditionFailure" in refused.details, refused)
    for number, secret in enumerate(held, 1):
        w.allowed(f"secret {number} still works", w.validate(secret.secret))
    new, _ = w.rekey(token, grace=span(0))
    for number, secret in enumerate(held, 1):
        w.denied(f"grace 0: secret {number} is dead", w.validate(secret.secret), "SUPERSEDED")
    w.allowed("the new one", w.validate(new.secret))
    w.equal("only it is listed", w.secret_states(token), ["CURRENT"])


@rule("At most 8 digests: one pending, one current, up to three retiring, the rest superseded")
def many(w):
    token = w.token(w.account())
    old = [token]
    for _ in range(10):
        old.append(w.rekey(token, grace=span(0))[0])
    w.allowed("the eleventh secret", w.validate(old[-1].secret))
    for number, secret in enumerate(old[-5:-1], 7):
        w.denied(f"secret {number}", w.validate(secret.secret), "SUPERSEDED")
    w.denied("the first, perhaps forgotten", w.validate(old[0].secret), "SUPERSEDED|UNKNOWN")
    w.equal("versions go on rising", [s.version for s in w.read(token).secrets], [11])


@rule("Rekey … changes nothing else: the id, the name and the grants stay (what peers got wrong)")
def stays(w):
    token = w.token(w.account(), grants=["a"], labels={"l": "v"}, expire_time=later(days=9))
    new, answer = w.rekey(token)
    for name in ("id", "name", "account_id", "grants", "expire_time", "create_time", "created_by"):
        w.equal(name, getattr(answer.token, name), getattr(token.token, name))
    before, after = parts(token.secret), parts(new.secret)
    w.equal("prefix and id in the text", before[:2], after[:2])
    w.check("the secret is another", before[2] != after[2], "the same")
    w.equal("the hint is its end", [s.hint for s in answer.token.secrets if s.state == 2], [new.secret[-4:]])
    w.check("basic_authorization holds it", new.basic and w.op.ValidateCredentials(authorization=new.basic).verdict == "ALLOW", new.basic[:6])


@rule("ON_FIRST_USE: the pending secret is good at once; its first ALLOW (no dry run) leaves a mark, and the commit of that mark, within a second, starts the grace; until then both are good.")
def on_first_use(w):
    account = w.account()
    token = w.token(account, grants=["a"])
    new, answer = w.rekey(token, activation=FIRST_USE, grace=span(hours=2))
    w.check("old_secret_good_until is unset", not answer.message.HasField("old_secret_good_until"), answer.message)
    w.equal("one is pending", w.secret_states(token), ["CURRENT", "PENDING"])
    w.allowed("the old one is good", w.validate(token.secret))
    w.check("  and told of no end", not w.validate(token.secret).message.HasField("secret_good_until"), "it is set")
    w.allowed("a dry run with the new one", w.validate(new.secret, dry_run=True))
    w.denied("a DENY with the new one", w.validate(new.secret, required={"resource": "b"}), "PERMISSION_DENIED")
    w.equal("neither starts anything", w.secret_states(token), ["CURRENT", "PENDING"])
    w.allowed("its first ALLOW", w.validate(new.secret, required={"resource": "a"}))
    w.until("the grace begins", lambda: w.secret_states(token) == ["CURRENT", "RETIRING"], within=3)
    old = w.validate(token.secret)
    w.allowed("the old one in its grace", old)
    left = instant(old.secret_good_until) - instant(w.read(token).update_time)
    w.check("  of two hours from then", abs(left - span(hours=2)) < span(seconds=5), left)
    w.check("an event tells of it", "REKEY_ACTIVATED" in w.event_types(account, token.id), w.event_types(account, token.id))


@rule("(ON_FIRST_USE with grace 0) the old one dies with the first use of the new one")
def first_use_no_grace(w):
    token = w.token(w.account())
    new, _ = w.rekey(token, activation=FIRST_USE, grace=span(0))
    w.allowed("before: the old one", w.validate(token.secret))
    w.allowed("the first use", w.validate(new.secret))
    w.until("then the old one is SUPERSEDED", lambda: w.validate(token.secret).verdict == "SUPERSEDED", within=3)
    w.allowed("and the new one good", w.validate(new.secret))


@rule("a second rekey replaces it.")
def replaced(w):
    token = w.token(w.account())
    lost, _ = w.rekey(token, activation=FIRST_USE)
    new, _ = w.rekey(token, activation=FIRST_USE)
    w.denied("the pending one before", w.validate(lost.secret), "UNKNOWN|SUPERSEDED")
    w.allowed("the old one", w.validate(token.secret))
    w.allowed("the newest", w.validate(new.secret))
    w.until("it becomes current", lambda: w.secret_states(token) == ["CURRENT", "RETIRING"], within=3)
    pending, _ = w.rekey(token, activation=FIRST_USE)
    now, _ = w.rekey(token, activation="ACTIVATION_AT_ONCE", grace=span(hours=1))
    w.denied("AT_ONCE replaces it, too", w.validate(pending.secret), "UNKNOWN|SUPERSEDED")
    w.allowed("  and is current", w.validate(now.secret))


@rule("CancelRekey drops a pending secret, keeps the old one; in the wrong state: FAILED_PRECONDITION")
def cancel(w):
    account = w.account()
    token = w.token(account)
    w.refused("nothing pending", w.op.CancelRekey(token_id=token.id), "FAILED_PRECONDITION", "NO_PENDING_SECRET")
    lost, _ = w.rekey(token, activation=FIRST_USE)
    w.ok("a pending one", w.op.CancelRekey(token_id=token.id))
    w.denied("it is dead", w.validate(lost.secret), "UNKNOWN|SUPERSEDED")
    w.allowed("the old one lives", w.validate(token.secret))
    w.equal("and is current", w.secret_states(token), ["CURRENT"])
    w.refused("a second time", w.op.CancelRekey(token_id=token.id), "FAILED_PRECONDITION", "NO_PENDING_SECRET")
    used, _ = w.rekey(token, activation=FIRST_USE)
    w.need(w.validate(used.secret))
    w.until("after its first use", lambda: "PENDING" not in w.secret_states(token), within=3)
    w.refused("  it is too late", w.op.CancelRekey(token_id=token.id), "FAILED_PRECONDITION", "NO_PENDING_SECRET")
    w.check("an event tells of it", "REKEY_CANCELLED" in w.event_types(account, token.id), w.event_types(account, token.id))


@rule("CompleteRekey ends the grace now; … in the wrong state: FAILED_PRECONDITION; without `if_old_idle_for` checks no use.")
def complete(w):
    account = w.account()
    token = w.token(account)
    w.refused("nothing retiring", w.op.CompleteRekey(token_id=token.id), "FAILED_PRECONDITION", "NO_RETIRING_SECRET")
    pending, _ = w.rekey(token, activation=FIRST_USE)
    w.refused("one pending", w.op.CompleteRekey(token_id=token.id), "FAILED_PRECONDITION", "REKEY_PENDING")
    w.allowed("  nothing happened", w.validate(token.secret))
    w.need(w.op.CancelRekey(token_id=token.id))
    second, _ = w.rekey(token, grace=span(hours=1))
    third, _ = w.rekey(token, grace=span(hours=1))
    w.allowed("in use", w.validate(token.secret))
    done = w.op.CompleteRekey(token_id=token.id)
    w.ok("two retiring", done)
    w.equal("none is listed", [s.state for s in done.token.secrets], [2])
    for number, secret in enumerate((token, second), 1):
        w.denied(f"secret {number}", w.validate(secret.secret), "SUPERSEDED")
    w.allowed("the current one", w.validate(third.secret))
    w.refused("a second time", w.op.CompleteRekey(token_id=token.id), "FAILED_PRECONDITION", "NO_RETIRING_SECRET")
    w.check("an event tells of it", "REKEY_COMPLETED" in w.event_types(account, token.id), w.event_types(account, token.id))


@rule("Rekey under full load denies nobody.")
def under_load(w):
    token = w.token(w.account())
    held = token.secret
    for _ in range(3):
        before = [w.op.start("ValidateCredentials", token=held) for _ in range(50)]
        new, _ = w.rekey(token, grace=span(hours=1))
        after = [w.op.start("ValidateCredentials", token=secret) for secret in (held, new.secret) for _ in range(50)]
        verdicts = {call().verdict for call in before + after}
        w.equal("150 validations around a rekey", verdicts, {"ALLOW"})
        held = new.secret


@rule("SUPERSEDED_SECRET_USED: an old secret presented after its grace: a leak, or a forgotten consumer")
def superseded_used(w):
    account = w.account()
    token = w.token(account)
    w.rekey(token, grace=span(0))
    w.denied("presented", w.validate(token.secret), "SUPERSEDED")
    w.until("an event tells of it", lambda: "SUPERSEDED_SECRET_USED" in w.event_types(account, token.id), within=4)
    for _ in range(20):
        w.validate(token.secret)
    w.check("not one for each use", w.event_types(account, token.id).count("SUPERSEDED_SECRET_USED") < 5, w.event_types(account, token.id))
