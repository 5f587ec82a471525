"""Streams: events as they happen, answers to drop, how long answers are good."""

from harness import later, rule, span


def newest(w):
    """The sequence of the log's last line."""
    return w.need(w.op.ListEvents(page_size=1)).events[0].sequence


@rule("`WatchEvents` from a sequence number, gapless, with heartbeats, resumable;")
def events(w):
    account, before = w.account(), newest(w)
    stream = w.op.open("WatchEvents", after_sequence=before, account_id=account)
    tokens = [w.token(account).id for _ in range(5)]
    heard = [stream.until(lambda reply: reply.message.HasField("event"), within=5) for _ in tokens]
    if not w.check("each is heard", all(reply is not None and reply.ok for reply in heard), heard):
        return
    w.equal("  in order", [reply.event.subject_id for reply in heard], tokens)
    w.equal("  as the list has them", [reply.event for reply in heard], w.events(account)[:5][::-1])
    quiet = stream.until(lambda reply: not reply.message.HasField("event"), within=5)
    w.check("then heartbeats", quiet is not None and quiet.ok and quiet.sequence >= heard[-1].event.sequence, quiet)
    stream.leave()
    again = w.op.open("WatchEvents", after_sequence=heard[2].sequence, account_id=account)
    rest = [again.until(lambda reply: reply.message.HasField("event"), within=5) for _ in range(2)]
    w.equal("resumed after the third", [reply and reply.event.subject_id for reply in rest], tokens[3:])
    again.leave()
    deleted = w.op.open("WatchEvents", after_sequence=before, account_id=account, types=["EVENT_TYPE_TOKEN_DEACTIVATED"])
    w.need(w.op.DeactivateToken(token_id=tokens[4]))
    only = deleted.until(lambda reply: reply.message.HasField("event"), within=5)
    w.equal("of one type alone", only and only.event.subject_id, tokens[4])
    deleted.leave()
    w.refused("from a sequence that is not there yet", w.op.WatchEvents(after_sequence=2**63), "OUT_OF_RANGE", "SEQUENCE_NOT_REACHED")


@rule("To a caller scoped to account A, everything of B is NOT_FOUND: streams too")
def scoped(w):
    own, other = w.account(), w.account()
    _, client = w.operator("keyward/events:read", "keyward/credentials:validate", scope=own)
    w.refused("another's events", client.WatchEvents(account_id=other), "NOT_FOUND", "NOT_FOUND")
    stream = client.open("WatchEvents", after_sequence=newest(w))
    drop = client.open("WatchInvalidations")
    w.need(drop.next())
    foreign, mine = w.token(other), w.token(own)
    for token in (foreign, mine):
        w.need(w.op.DeactivateToken(token_id=token.id))
    told = stream.until(lambda reply: reply.message.HasField("event"), within=5)
    w.equal("its own events alone", told and told.event.account_id, own)
    dropped = drop.until(lambda reply: list(reply.token_ids), within=5)
    w.check("its own answers to drop alone", dropped is not None and mine.id in dropped.token_ids and foreign.id not in dropped.token_ids, dropped)
    stream.leave()
    drop.leave()


@rule("`WatchInvalidations` from a revision for callers that keep answers, with RESET when history is gone;")
def invalidations(w):
    account = w.account()
    token, other = w.token(account), w.token(account)
    known = w.validate(token.secret).revision
    stream = w.op.open("WatchInvalidations", after_revision=known)
    first = stream.next(5)
    w.check("the first message comes at once, and is no reset", first is not None and first.ok and not first.reset, first)
    w.need(w.op.DeactivateToken(token_id=token.id))
    drop = stream.until(lambda reply: token.id in reply.token_ids, within=5)
    w.check("a token that was deactivated", drop is not None and drop.ok and other.id not in drop.token_ids, drop)
    w.check("  at a later revision", drop is not None and drop.revision > known, drop)
    w.need(w.op.UpdateAccount(account={"id": account, "policy": {"max_tokens": 9}}, update_mask=["policy.max_tokens"]))
    whole = stream.until(lambda reply: account in reply.account_ids, within=5)
    w.check("an account whose policy changed", whole is not None and whole.ok, whole)
    beat = stream.until(lambda reply: not reply.token_ids and not reply.account_ids, within=3)
    w.check("heartbeats", beat is not None and beat.ok and not beat.reset, beat)
    stream.leave()
    late = w.op.open("WatchInvalidations", after_revision=known)
    missed = late.until(lambda reply: token.id in reply.token_ids, within=5)
    w.check("what was missed is told again", missed is not None and missed.ok, missed)
    late.leave()
    far = w.op.open("WatchInvalidations", after_revision=2**62)
    reset = far.next(5)
    w.check("a revision that was never reached: reset", reset is not None and reset.ok and reset.reset, reset)
    far.leave()


@rule("**cache_for** is unset for DENY, where the account has daily calls or the token a rate limit, and for callers without an open WatchInvalidations;")
def cache_for(w):
    account = w.account()
    keeper, client = w.operator("keyward/credentials:validate")
    token, short = w.token(account), w.token(account, expire_time=later(seconds=60))
    kept = lambda answer: answer.cache_for.ToTimedelta() if answer.message.HasField("cache_for") else None
    ask = lambda one, **more: client.ValidateCredentials(token=one.secret, **more)
    w.equal("without a stream", kept(ask(token)), None)
    stream = client.open("WatchInvalidations")
    w.need(stream.next())
    w.until("with one", lambda: kept(ask(token)) is not None, within=3)
    span_kept = kept(ask(token))
    w.check("  at most a second past its last heartbeat", span_kept is not None and span(0) < span_kept <= span(seconds=1), span_kept)
    w.equal("a denial", kept(ask(token, required={"resource": "a"}, account_key="wrong")), None)
    w.equal("a dry run", kept(ask(token, dry_run=True)), None)
    w.equal("an account with daily calls", kept(ask(w.token(w.account("application-keys")))), None)
    w.equal("a token with a rate limit", kept(ask(w.token(account, rate_limit={"calls": 100, "per": span(seconds=1)}))), None)
    w.equal("another caller", kept(w.validate(token.secret, by=w.operator("keyward/credentials:validate")[1])), None)
    answer = ask(short)
    w.check("never past expiry", kept(answer) is not None and kept(answer) <= span(seconds=60), answer)
    stream.leave()
    w.until("the stream closed", lambda: kept(ask(token)) is None, within=5)


@rule("Many questions at once: one stream, one batch")
def many(w):
    account = w.account()
    token, dead = w.token(account), w.token(account)
    w.need(w.op.DeactivateToken(token_id=dead.id))
    asked = [{"token": token.secret}, {"token": dead.secret}, {"token": token.secret, "client_address": "nonsense"}, {"token": "kw_"}]
    batch = w.op.BatchValidateCredentials(requests=asked)
    reason = lambda item: w.server.enum("keyward.v1.DenyReason", item.response.reason) if item.HasField("response") else item.undecided.reason
    wanted = ["DENY_REASON_UNSPECIFIED", "DENY_REASON_INACTIVE", "INVALID_FIELD", "DENY_REASON_MALFORMED"]
    w.equal("a batch, in order; one bad item does not spoil the others", [reason(item) for item in batch.items], wanted)
    w.invalid("more than 100", w.op.BatchValidateCredentials(requests=asked[:1] * 101), "requests")
    stream = w.op.talk("StreamValidateCredentials", [{"correlation_id": n + 1, "request": ask} for n, ask in enumerate(asked)])
    answers = {}
    while (reply := stream.next(5)) is not None and reply.ok:
        answers[reply.correlation_id] = reason(reply.message)
    w.equal("a stream, by correlation_id", answers, dict(enumerate(wanted, start=1)))
