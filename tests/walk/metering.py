"""Calls of a day and of a rate, as the server counts them while real time passes."""

from client import instant
from harness import now, rule, span


def limited(w, calls, **more):
    return w.account(policy={"daily_calls": calls, "rekey_grace": span(hours=1), **more})


def change(w, account, calls):
    policy = {} if calls is None else {"daily_calls": calls}
    return w.need(w.op.UpdateAccount(account={"id": account, "policy": policy}, update_mask=["policy.daily_calls"]))


def left(w, token, **request):
    """What remains after a call that must be let in."""
    answer = w.validate(token.secret, **request)
    return answer.quota.remaining if answer.verdict == "ALLOW" else answer.verdict


@rule("`cost` is all or nothing; … QUOTA_EXCEEDED: the account's daily calls are spent; retry_after says when they return")
def costs(w):
    if not w.daylight():
        return w.not_run("costs", "the day ends while they would be counted")
    token = w.token(limited(w, 10))
    w.equal("0 counts as 1", left(w, token), 9)
    w.equal("4", left(w, token, cost=4), 5)
    dear = w.validate(token.secret, cost=6)
    w.denied("6 of 5", dear, "QUOTA_EXCEEDED")
    w.equal("  takes nothing", left(w, token, cost=5), 0)
    refused = w.validate(token.secret)
    w.denied("the next one", refused, "QUOTA_EXCEEDED")
    reset, wait = instant(refused.quota.reset_time), refused.retry_after.ToTimedelta()
    w.check("  retry_after leads to reset_time", abs(now() + wait - reset) < span(seconds=5), (wait, reset))
    w.denied("more than the day ever has", w.validate(w.token(limited(w, 3)).secret, cost=4), "QUOTA_EXCEEDED")
    w.denied("a limit of 0", w.validate(w.token(limited(w, 0)).secret), "QUOTA_EXCEEDED")


@rule("**Daily calls** of an account, shared by its tokens … dry runs and denials not. Rekey changes nothing.")
def shared(w):
    if not w.daylight():
        return w.not_run("what counts", "the day ends while it would be counted")
    account = limited(w, 10)
    one, other = w.token(account, grants=["a"]), w.token(account)
    w.equal("one", left(w, one), 9)
    w.equal("another", left(w, other), 8)
    for _ in range(5):
        w.denied("a denial", w.validate(one.secret, required={"resource": "b"}), "PERMISSION_DENIED")
        w.equal("a dry run tells it, and takes nothing", left(w, one, dry_run=True), 8)
    new, _ = w.rekey(one)
    w.equal("the rekeyed one", left(w, new), 7)
    w.equal("with its old secret", left(w, one), 6)
    w.equal("a batch counts each item", [item.response.quota.remaining for item in w.op.BatchValidateCredentials(requests=[{"token": other.secret}] * 3).items], [5, 4, 3])


@rule("Daily limits bind on the next call of the answering node; calls admitted stand.")
def changed(w):
    if not w.daylight():
        return w.not_run("changed limits", "the day ends while they would be counted")
    account = limited(w, 100)
    token = w.token(account)
    w.equal("5 of 100", left(w, token, cost=5), 95)
    change(w, account, 6)
    w.equal("one more of 6", left(w, token), 0)
    change(w, account, 3)
    w.denied("of 3", w.validate(token.secret), "QUOTA_EXCEEDED")
    change(w, account, 20)
    w.equal("of 20", left(w, token), 13)
    change(w, account, None)
    free = w.validate(token.secret)
    w.allowed("without a limit", free)
    w.check("  no quota is told", not free.message.HasField("quota"), free.message)


@rule("4. No quota is ever exceeded, by races, crashes or replicas.")
def races(w):
    if not w.daylight():
        return w.not_run("a race", "the day ends while it would be counted")
    token = w.token(limited(w, 40))
    calls = [w.op.start("ValidateCredentials", token=token.secret) for _ in range(200)]
    verdicts = [reply.verdict for reply in (call() for call in calls) if reply.ok]
    w.equal("let in of 200 at once", verdicts.count("ALLOW"), 40)
    w.check("the others are refused for the quota alone", set(verdicts) <= {"ALLOW", "QUOTA_EXCEEDED"}, set(verdicts))


@rule("**Rate limit** of a token (calls per duration, burst) … RATE_LIMITED with an exact retry_after.")
def rates(w):
    account = w.account()
    token = w.token(account, rate_limit={"calls": 2, "per": span(seconds=60)})
    w.equal("a burst of 0 is as many as calls", token.token.rate_limit.burst, 2)
    for _ in range(2):
        w.allowed("within the burst", w.validate(token.secret))
    over = w.validate(token.secret)
    w.denied("beyond", over, "RATE_LIMITED")
    w.check("  until the next one of the 2 in 60 s", span(seconds=20) < over.retry_after.ToTimedelta() <= span(seconds=30), over.retry_after)
    w.allowed("each token has its own", w.validate(w.token(account, rate_limit={"calls": 1, "per": span(hours=1)}).secret))
    quick = w.token(account, rate_limit={"calls": 5, "per": span(seconds=1), "burst": 1})
    w.allowed("one at a time", w.validate(quick.secret))
    w.until("and again after its time", lambda: w.validate(quick.secret).verdict == "ALLOW", within=2)
    cleared = w.op.UpdateToken(token={"id": token.id}, update_mask=["rate_limit"])
    w.check("cleared", cleared.ok and not cleared.token.HasField("rate_limit"), cleared)
    w.allowed("  it binds no more", w.validate(token.secret))


@rule("Stored records of version 1 hold every policy value: the metering fields of policies and tokens")
def fields(w):
    notices = [span(days=7), span(seconds=5)]
    account = w.account(policy={"daily_calls": 9, "max_connections_per_token": 2, "notify_before_expiry": notices})
    policy = w.need(w.op.GetAccount(account_id=account)).account.policy
    w.equal("the policy", (policy.daily_calls, policy.max_connections_per_token, [n.ToTimedelta() for n in policy.notify_before_expiry]), (9, 2, notices))
    token = w.token(account, max_connections=1, rate_limit={"calls": 3, "per": span(seconds=2), "burst": 4})
    rate = w.read(token).rate_limit
    w.equal("the token", (w.read(token).max_connections, rate.calls, rate.per.ToTimedelta(), rate.burst), (1, 3, span(seconds=2), 4))
    create = lambda **more: w.op.CreateToken(account_id=account, name="n", **more)
    w.invalid("no calls", create(rate_limit={"per": span(seconds=1)}), "rate_limit.calls")
    w.invalid("no time", create(rate_limit={"calls": 1}), "rate_limit.per")
    w.invalid("a notice twice", w.op.CreateAccount(policy={"notify_before_expiry": [span(hours=1)] * 2}), "notify_before_expiry")
    w.invalid("nine notices", w.op.CreateAccount(policy={"notify_before_expiry": [span(hours=n) for n in range(1, 10)]}), "notify_before_expiry")
