"""The checks behind ``verify``: read-only SQL, set-based, one row a fault.

Each query answers (code, account, entry, sentence); ``entry`` may also be the payment or refund
that the fault is about. They recompute from the postings and instructions, which nothing rewrites,
whatever else the database keeps beside them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """``title`` says what is recomputed; ``codes`` are those that ``sql`` can answer."""

    title: str
    codes: tuple[str, ...]
    sql: str


COUNTS = {
    "accounts": "select count(*) from ledger.account",
    "postings": "select count(*) from ledger.posting",
    "instructions": "select count(*) from ledger.instruction",
    "payments": "select count(*) from ledger.payment",
    "refunds": "select count(*) from ledger.refund",
    "outbox rows": "select count(*) from ledger.outbox",
    "notices": "select count(*) from public.notice",
    "audit entries": "select count(*) from public.audit_entry",
}

HEADS = Check(
    "balances, holds and heads of accounts against their postings",
    ("BALANCE_MISMATCH", "HELD_MISMATCH", "SEQUENCE_HEAD", "TIME_RUNS_BACK", "NEGATIVE_BALANCE",
     "POSTING_WITHOUT_ACCOUNT"),
    """
with sums as materialized (
  select account_id, sum(amount) as posted, sum(held_delta) as held, max(seq) as seq, max(at) as at
    from ledger.posting group by account_id)
select f.code, coalesce(a.id, s.account_id) as account, null::uuid as entry, f.sentence
  from ledger.account a full join sums s on s.account_id = a.id
 cross join lateral (values
  ('POSTING_WITHOUT_ACCOUNT', a.id is null, 'postings name an account that does not exist'),
  ('BALANCE_MISMATCH', a.posted <> coalesce(s.posted, 0),
   format('the account says %s, its postings sum to %s', a.posted, coalesce(s.posted, 0))),
  ('HELD_MISMATCH', a.held <> coalesce(s.held, 0),
   format('the account holds %s, its postings hold %s', a.held, coalesce(s.held, 0))),
  ('SEQUENCE_HEAD', a.seq <> coalesce(s.seq, 0),
   format('the account is at number %s, its newest posting is %s', a.seq, coalesce(s.seq, 0))),
  ('TIME_RUNS_BACK', a.at < s.at, 'the account''s time lies before its newest posting'),
  ('NEGATIVE_BALANCE', a.posted - a.held < 0 and not a.may_overdraw,
   format('%s is available', a.posted - a.held))
 ) as f(code, wrong, sentence)
 where f.wrong""",
)  # fmt: skip

WALK = Check(
    "every posting against the one before it",
    ("SEQUENCE_GAP", "RUNNING_BALANCE_BROKEN", "TIME_RUNS_BACK", "NEGATIVE_BALANCE",
     "HELD_MISMATCH"),
    """
select f.code, w.account_id as account, w.entry_id as entry, f.sentence
  from (select p.*, lag(seq, 1, 0::bigint) over way as seq_before,
               lag(posted_after, 1, 0::bigint) over way as posted_before,
               lag(held_after, 1, 0::bigint) over way as held_before, lag(at) over way as at_before
          from ledger.posting p window way as (partition by account_id order by seq, at)) w
  left join ledger.account a on a.id = w.account_id
 cross join lateral (values
  ('SEQUENCE_GAP', w.seq <> w.seq_before + 1,
   format('number %s follows %s', w.seq, w.seq_before)),
  ('RUNNING_BALANCE_BROKEN', w.posted_after <> w.posted_before + w.amount,
   format('number %s: %s and %s do not make %s', w.seq, w.posted_before, w.amount, w.posted_after)),
  ('HELD_MISMATCH', w.held_after <> w.held_before + w.held_delta,
   format('number %s: holds do not add up', w.seq)),
  ('TIME_RUNS_BACK', w.at < w.at_before, format('number %s is older than the one before', w.seq)),
  ('NEGATIVE_BALANCE', w.posted_after - w.held_after < 0 and not a.may_overdraw,
   format('number %s left %s available', w.seq, w.posted_after - w.held_after))
 ) as f(code, wrong, sentence)
 where f.wrong
   and (w.seq <> w.seq_before + 1 or w.posted_after <> w.posted_before + w.amount
        or w.held_after <> w.held_before + w.held_delta or w.at < w.at_before
        or w.posted_after - w.held_after < 0)""",
)  # fmt: skip

ZERO_SUM = Check(
    "zero sum of every entry",
    ("ENTRY_NOT_ZERO",),
    """
select 'ENTRY_NOT_ZERO', min(account_id), entry_id,
       format('its postings in %s sum to %s', currency, sum(amount))
  from ledger.posting group by entry_id, currency having sum(amount) <> 0""",
)

CURRENCY = Check(
    "one currency per account, entry and payment",
    ("CURRENCY_MIXED",),
    """
select 'CURRENCY_MIXED', p.account_id, p.entry_id,
       format('number %s is in %s, its account in %s', p.seq, p.currency, a.currency)
  from ledger.posting p join ledger.account a on a.id = p.account_id where a.currency <> p.currency
union all
select 'CURRENCY_MIXED', q.payer_id, q.id, 'the payment is in another currency than its accounts'
  from ledger.payment q
  join ledger.account a on a.id = q.payer_id join ledger.account b on b.id = q.payee_id
 where q.currency <> a.currency or q.currency <> b.currency""",
)

ENTRIES = Check(
    "entries against the instructions that asked for them",
    ("ENTRY_WITHOUT_INSTRUCTION", "INSTRUCTION_WITHOUT_ENTRY", "INSTRUCTION_TWICE"),
    """
with entries as materialized (
  select entry_id, min(account_id) as account, min(operation) as operation, min(at) as at
    from ledger.posting group by entry_id),
asked as materialized (select id, operation, at from ledger.instruction where outcome = 0)
select case when i.id is null then 'ENTRY_WITHOUT_INSTRUCTION' else 'INSTRUCTION_WITHOUT_ENTRY' end,
       e.account, coalesce(e.entry_id, i.id),
       case when i.id is null then 'nobody asked for this entry'
            else 'it is said to be posted, but there is no posting' end
  from entries e full join asked i on (i.id, i.operation, i.at) = (e.entry_id, e.operation, e.at)
 where i.id is null or (e.entry_id is null and not exists (
   select from ledger.payment q where q.id = i.id and i.operation = 30 and q.step_states[1] = 1))
union all
select 'INSTRUCTION_WITHOUT_ENTRY', null, i.id, 'it opened a payment that does not exist'
  from asked i where i.operation = 30 and not exists (
   select from ledger.payment q where q.id = i.id)
union all
select 'INSTRUCTION_TWICE', null, id, format('%s instructions have this id', count(*))
  from ledger.instruction group by id having count(*) > 1""",
)

OUTCOMES = Check(
    "outcomes that can be kept",
    ("OUTCOME_INVALID",),
    """
select 'OUTCOME_INVALID', null, i.id, format('operation %s, outcome %s', i.operation, i.outcome)
  from ledger.instruction i left join ledger.operation o on o.id = i.operation
 where o.id is null or i.outcome not between 0 and 16 or i.outcome in (4, 6, 7)""",
)

CAPTURED = Check(
    "payments against their postings",
    ("PAYMENT_CAPTURED_MISMATCH", "REFUNDABLE_MISMATCH"),
    """
with moved as materialized (
  select q.id,
         coalesce(sum(p.amount) filter (where p.account_id = q.payee_id and p.operation in (30,
           31)), 0) as paid,
         coalesce(-sum(p.amount) filter (where p.account_id = q.payer_id and p.operation in (30,
           31)), 0) as given,
         coalesce(sum(p.amount) filter (where p.account_id = q.payer_id and p.operation = 41),
           0) as back
    from ledger.payment q left join ledger.posting p on p.subject_id = q.id group by q.id),
asked as materialized (
  select payment_id, coalesce(sum(amount) filter (where state = 1), 0) as reserved,
         coalesce(sum(amount) filter (where state = 2), 0) as refunded
    from ledger.refund group by payment_id)
select f.code, q.payer_id, q.id, f.sentence
  from ledger.payment q join moved m on m.id = q.id left join asked r on r.payment_id = q.id
 cross join lateral (values
  ('PAYMENT_CAPTURED_MISMATCH', q.captured <> m.paid or q.captured <> m.given,
   format('captured %s, the payer gave %s, the payee got %s', q.captured, m.given, m.paid)),
  ('REFUNDABLE_MISMATCH', q.refunded <> coalesce(r.refunded, 0) or q.refunded <> m.back,
   format('refunded %s, by its refunds %s, by postings %s', q.refunded, coalesce(r.refunded, 0),
     m.back)),
  ('REFUNDABLE_MISMATCH', q.refund_reserved <> coalesce(r.reserved, 0),
   format('%s is reserved, %s is asked for', q.refund_reserved, coalesce(r.reserved, 0))),
  ('REFUNDABLE_MISMATCH', q.refunded + q.refund_reserved > q.captured,
    'more goes back than was paid')
 ) as f(code, wrong, sentence)
 where f.wrong
union all
select 'REFUNDABLE_MISMATCH', r.payer_id, r.id, 'a refund of a payment that does not exist'
  from ledger.refund r where not exists (select from ledger.payment q where q.id = r.payment_id)""",
)

STEPS = Check(
    "steps of payments against the operations that may make them",
    ("PAYMENT_STEPS_BROKEN",),
    """
with steps as materialized (
  select q.id, q.payer_id, u.n, u.state, u.at, lag(u.state) over way as state_before,
         lag(u.at) over way as at_before
    from ledger.payment q cross join lateral unnest(q.step_states, q.step_times)
         with ordinality as u(state, at, n) window way as (partition by q.id order by u.n)),
asked as materialized (
  select i.subject_id, count(*) as n from ledger.instruction i
    join ledger.operation o on o.id = i.operation
   where i.outcome = 0 and o.to_state is not null group by i.subject_id)
select 'PAYMENT_STEPS_BROKEN', s.payer_id, s.id, format('step %s: from %s to %s', s.n,
  s.state_before, s.state)
  from steps s
 where s.at is null or s.state is null or s.at < s.at_before
    or case when s.n = 1 then s.state not in (1, 2) else not exists (
      select from ledger.operation o where o.to_state = s.state
        and s.state_before = any(o.from_states)) end
union all
select 'PAYMENT_STEPS_BROKEN', q.payer_id, q.id,
       format('state %s, %s steps, %s instructions', q.state, cardinality(q.step_states),
         coalesce(a.n, 0))
  from ledger.payment q left join asked a on a.subject_id = q.id
 where q.state is distinct from q.step_states[cardinality(q.step_states)]
    or (q.state = 1) <> (q.expires_at is not null)
    or (q.state = 5) <> (q.refund_reserved > 0)
    or cardinality(q.step_states) <> coalesce(a.n, 0)""",
)

REFUNDS = Check(
    "second person of every refund",
    ("REFUND_SAME_PERSON",),
    """
select 'REFUND_SAME_PERSON', r.payer_id, r.id,
  'who decided is a party, or the parties are not the accounts'' owners'
  from ledger.refund r join ledger.account a on a.id = r.payer_id
    join ledger.account b on b.id = r.payee_id
  left join ledger.refund_policy y on y.id = r.policy_id
 where r.decider_id in (r.requester_id, a.owner_id, b.owner_id)
    or (r.payer_owner_id, r.payee_owner_id) is distinct from (a.owner_id, b.owner_id)
    or (r.policy_id is not null and r.decider_id is distinct from y.signed_by)
    or (r.state <> 1) <> (r.decider_id is not null)""",
)

DAYS = Check(
    "day counters against the city's day",
    ("DAY_COUNTER_WRONG",),
    """
with days as materialized (
  select a.id, a.limit_day, a.day_out, a.day_free_count,
         a.limit_day::timestamp at time zone c.zone as day_from,
         (a.limit_day + 1)::timestamp at time zone c.zone as day_until
    from ledger.account a cross join ledger.city c where isfinite(a.limit_day)),
spent as materialized (
  select d.id, sum(-p.amount) filter (where o.counts_limit) as spent,
         count(*) filter (where o.effect = 'CREATE_PAYMENT') as free
    from ledger.posting p join days d on d.id = p.account_id and p.at >= d.day_from
      and p.at < d.day_until
    join ledger.operation o on o.id = p.operation where p.amount < 0 group by d.id)
select 'DAY_COUNTER_WRONG', a.id, null::uuid,
       format('%s: counted %s in %s payments without PIN, posted %s in %s', a.limit_day, a.day_out,
              a.day_free_count, coalesce(s.spent, 0), coalesce(s.free, 0))
  from ledger.account a left join spent s on s.id = a.id
 where a.day_out <> coalesce(s.spent, 0) or a.day_free_count <> coalesce(s.free, 0)""",
)

GUARDS = Check(
    "freezes, closings and allowances against the account's own stream",
    (
        "STATUS_MISMATCH",
        "DEBIT_WHILE_FROZEN",
        "MOVED_AFTER_CLOSING",
        "ALLOWANCE_MISMATCH",
        "CAUTION_MISMATCH",
    ),
    """
with every_turn as (
  select p.account_id, p.entry_id, p.seq, o.effect, o.actor_is = 'OWNER' as own,
         case when o.effect = 'UNFREEZE' then 1
              when i.detail ->> 'level' = 'FULL' then 3 else 2 end as level,
         lead(p.seq) over w as until,
         count(*) filter (where o.effect = 'UNFREEZE') over w as thaws
    from ledger.posting p join ledger.operation o on o.id = p.operation
    left join ledger.instruction i on i.id = p.entry_id and i.outcome = 0
   where o.effect in ('FREEZE', 'UNFREEZE')
  window w as (partition by p.account_id order by p.seq)),
turns as materialized (
  select t.*, max(t.level) over (partition by t.account_id, t.thaws order by t.seq) as status
    from every_turn t),
closings as materialized (
  select p.account_id, p.entry_id, p.seq, p.posted_after
    from ledger.posting p join ledger.operation o on o.id = p.operation
   where o.effect = 'CLOSE_WALLET'),
cautions as materialized (
  select p.account_id, max(p.at + make_interval(secs => (i.detail ->> 'seconds')::int)) as until
    from ledger.posting p join ledger.operation o on o.id = p.operation
    join ledger.instruction i on i.id = p.entry_id and i.outcome = 0
   where o.effect = 'SET_CAUTION' group by p.account_id),
settings as materialized (
  select distinct on (p.account_id) p.account_id, p.entry_id, i.detail
    from ledger.posting p join ledger.operation o on o.id = p.operation
    left join ledger.instruction i on i.id = p.entry_id and i.outcome = 0
   where o.effect = 'SET_ALLOWANCE' order by p.account_id, p.seq desc)
select 'STATUS_MISMATCH', a.id, t.entry_id, format('status %s, but the last turn was %s',
  a.status, coalesce(t.effect, 'none'))
  from ledger.account a left join turns t on t.account_id = a.id and t.until is null
 where a.status <> case when exists (select from closings z where z.account_id = a.id) then 4
                        else coalesce(t.status, 1) end
    or a.frozen_by_owner <> coalesce(t.own and t.effect = 'FREEZE', false)
union all
select 'DEBIT_WHILE_FROZEN', p.account_id, p.entry_id,
  format('number %s debits after freeze number %s', p.seq, t.seq)
  from turns t join ledger.posting p on p.account_id = t.account_id and p.seq > t.seq
   and p.seq < coalesce(t.until, p.seq + 1)
  join ledger.operation o on o.id = p.operation
 where t.effect = 'FREEZE' and p.amount < 0 and not o.ignores_freeze
union all
select 'MOVED_AFTER_CLOSING', z.account_id, coalesce(p.entry_id, z.entry_id),
  format('closed by number %s with %s in it, number %s came after', z.seq, z.posted_after, p.seq)
  from closings z left join (ledger.posting p join ledger.operation o on o.id = p.operation
    and o.effect <> 'CLOSE') on p.account_id = z.account_id and p.seq > z.seq
 where z.posted_after <> 0 or p.seq is not null
union all
select 'ALLOWANCE_MISMATCH', a.id, s.entry_id, format('%s up to %s a day, the owner set %s',
  a.free_count_max, a.free_max, s.detail)
  from ledger.account a left join settings s on s.account_id = a.id
 where a.free_max <> coalesce((s.detail ->> 'amount_max')::bigint, 0)
    or a.free_count_max <> coalesce((s.detail ->> 'daily_count_max')::int, 0)
union all
select 'CAUTION_MISMATCH', a.id, null, format('careful until %s, the entries say %s',
  a.caution_until, coalesce(c.until, '-infinity'))
  from ledger.account a left join cautions c on c.account_id = a.id
 where a.caution_until <> coalesce(c.until, '-infinity')""",
)

PROOFS = Check(
    "proofs: there where needed, each used once",
    ("PROOF_MISSING", "PROOF_USED_TWICE"),
    """
select 'PROOF_MISSING', null::bigint, i.id, format('%s was posted without proof', o.name)
  from ledger.instruction i join ledger.operation o on o.id = i.operation
 where o.needs_proof and i.outcome = 0 and i.proof_id is null
union all
select 'PROOF_USED_TWICE', null, i.id, 'its proof was used by another instruction too'
  from (select id, count(*) over (partition by proof_id) as uses
          from ledger.instruction where proof_id is not null) i where i.uses > 1""",
)

OUTBOX = Check(
    "outbox: nothing dead, nothing left lying",
    ("OUTBOX_DEAD", "OUTBOX_OVERDUE"),
    """
select case when b.dead then 'OUTBOX_DEAD' else 'OUTBOX_OVERDUE' end, null::bigint, null::uuid,
       format('%s of job %s, the oldest row is %s', count(*), b.job, min(b.id))
  from ledger.outbox b where b.dead or b.due_at < ledger.now() - interval '10 minutes'
    group by b.dead, b.job""",
)

NOTICES = Check(
    "every owner told, or about to be told, of every movement; closed ones forgot it",
    ("NOTICE_MISSING",),
    """
with waiting as materialized (
  select u.account, u.seq from ledger.outbox b cross join lateral unnest(b.accounts,
    b.seqs) as u(account, seq)
   where b.job = 'notify_postings'),
told as materialized (select user_id, source from public.notice where source like 'posting:%')
select 'NOTICE_MISSING', p.account_id, p.entry_id, format('nobody told the owner of number %s',
  p.seq)
  from ledger.posting p join ledger.account a on a.id = p.account_id
  left join waiting w on w.account = p.account_id and w.seq = p.seq
  left join told t on t.user_id = a.owner_id
    and t.source = 'posting:' || p.account_id || ':' || p.seq
 where a.owner_id is not null and a.status <> 4 and p.amount <> 0 and w.seq is null
   and t.source is null""",
)

PARTITIONS = Check(
    "months of postings made ahead",
    ("PARTITIONS_RUNNING_OUT",),
    """
select 'PARTITIONS_RUNNING_OUT', null::bigint, null::uuid, format('there is no table %s', t.name)
  from generate_series(0, 2) as m
 cross join lateral (select 'ledger.posting_' || to_char(
   date_trunc('month', ledger.now() at time zone 'utc') + make_interval(months => m),
     'YYYY_MM') as name) t
 where to_regclass(t.name) is null""",
)

CHECKS = (
    HEADS, WALK, ZERO_SUM, CURRENCY, ENTRIES, OUTCOMES, CAPTURED, STEPS, REFUNDS, DAYS, GUARDS,
    PROOFS, OUTBOX, NOTICES, PARTITIONS,
)  # fmt: skip

WARNINGS = frozenset({"OUTBOX_OVERDUE", "AUDIT_SEAL_OVERDUE"})
"""What is late, not wrong: a stopped worker leaves these, and a started one clears them."""
