-- The one way money moves. A batch of instructions, each answered by itself: posted, refused with a code, or replayed.
--   Instruction i owns the legs p_leg_end[i-1]+1 .. p_leg_end[i], sorted by account, each account at most once.
--   outcome: 0 posted, otherwise why not (domain/ledger.py, Outcome); entry: the journal entry and what it created.
-- Lock order: accounts by id; then, under the payer's lock, payments and refunds. Keys and payments are read after the
-- locks in statements of their own (READ COMMITTED), so a repeated key either sees the first outcome or waits for it.
-- Outcomes NOT_FOUND, KEY_REUSED and NOT_PERMITTED are not kept: they say that nothing like this was ever asked.
set role wallet_ledger;
create or replace function ledger.post_v1(
  p_actor bigint[], p_operation smallint[], p_key text[], p_hash bytea[], p_subject uuid[], p_related uuid[],
  p_proof uuid[], p_memo bytea[], p_detail text[], p_leg_end int[], p_leg_account bigint[], p_leg_amount bigint[],
  out outcome smallint[], out entry uuid[], out replayed boolean[], out at timestamptz[], out state smallint[])
language plpgsql security definer
set search_path = pg_catalog, ledger, pg_temp
set enable_seqscan = off set plan_cache_mode = force_generic_plan   -- the plan must not depend on how empty the tables were
as $$
declare
  posted constant smallint := 0; insufficient constant smallint := 1; frozen constant smallint := 2;
  over_limit constant smallint := 3; not_found constant smallint := 4; wrong_currency constant smallint := 5;
  key_reused constant smallint := 6; not_permitted constant smallint := 7; wrong_state constant smallint := 8;
  proof_needed constant smallint := 9; refund_excess constant smallint := 11;
  party constant smallint := 12; payee_closed constant smallint := 13; expired constant smallint := 14;
  outside_policy constant smallint := 15; not_empty constant smallint := 16;
  amount_max constant bigint := 1000000000000000;     -- of one leg: sums of a batch stay far from the end of bigint
  n int := cardinality(p_actor);
  city record; rule record; ts timestamptz; today date;
  ids bigint[]; a_owner bigint[]; a_role smallint[]; a_currency text[]; a_status smallint[]; a_overdraw boolean[];
  a_posted bigint[]; a_held bigint[]; a_seq bigint[]; a_seq0 bigint[]; a_at timestamptz; a_day date[];
  a_out bigint[]; a_free int[]; a_day_max bigint[]; a_free_max bigint[]; a_free_count_max int[];
  a_own boolean[];
  o_effect text[]; o_login boolean[]; o_actor text[]; o_debit int[]; o_credit int[]; o_from int[]; o_to smallint[];
  o_proof boolean[]; o_limit boolean[]; o_frozen boolean[];
  pay_ids uuid[]; pay_payer bigint[]; pay_payee bigint[]; pay_amount bigint[]; pay_state smallint[];
  pay_expires timestamptz[]; pay_captured bigint[]; pay_reserved bigint[]; pay_refunded bigint[];
  first_i int[]; old_id uuid[]; old_outcome smallint[]; old_same boolean[]; old_at timestamptz[]; old_state smallint[];
  pay_i int[]; leg_i int[];
  e_account bigint[] := '{}'; e_seq bigint[] := '{}'; e_entry uuid[] := '{}'; e_op smallint[] := '{}';
  e_amount bigint[] := '{}'; e_after bigint[] := '{}'; e_other bigint[] := '{}'; e_subject uuid[] := '{}';
  e_currency text[] := '{}';
  new_i int[] := '{}'; subject_of uuid[]; opened int[] := '{}';
  lo int; hi int := 0; a int; b int; m bigint; op smallint; effect text; oc smallint; made uuid; pay int;
  nn int := 0; k int := 0; np int := 0; payer int; payee int; total bigint; free boolean; moves boolean; f int;
  setting jsonb; asked ledger.refund; signer bigint; used uuid[] := '{}'; proof_of uuid[] := '{}';
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'posting needs READ COMMITTED' using errcode = 'WL005';
  end if;
  if n is null or n = 0 or n > 256 or cardinality(p_leg_account) > 2048
     or (cardinality(p_leg_end), p_leg_end[n], cardinality(p_leg_amount))
        is distinct from (n, cardinality(p_leg_account), cardinality(p_leg_account)) then
    raise exception 'a batch has 1 to 256 instructions and at most 2048 legs' using errcode = 'WL006';
  end if;
  -- Below, arrays are read by unnest and by subscript: of '[0:1]={7,9}' these see different elements.
  if 1 <> any (array[
       array_ndims(p_actor), array_lower(p_actor, 1), array_ndims(p_operation), array_lower(p_operation, 1),
       array_ndims(p_key), array_lower(p_key, 1), array_ndims(p_hash), array_lower(p_hash, 1),
       array_ndims(p_subject), array_lower(p_subject, 1), array_ndims(p_related), array_lower(p_related, 1),
       array_ndims(p_proof), array_lower(p_proof, 1), array_ndims(p_memo), array_lower(p_memo, 1),
       array_ndims(p_detail), array_lower(p_detail, 1), array_ndims(p_leg_end), array_lower(p_leg_end, 1),
       array_ndims(p_leg_account), array_lower(p_leg_account, 1), array_ndims(p_leg_amount), array_lower(p_leg_amount, 1)])
  then
    raise exception 'arrays are plain: one dimension, counted from 1' using errcode = 'WL006';
  end if;

  -- 1. Lock all accounts in one statement, in id order: two batches may wait for each other, never in a circle.
  select array_agg(s.id), array_agg(s.owner_id), array_agg(s.role), array_agg(s.currency::text), array_agg(s.status),
         array_agg(s.may_overdraw), array_agg(s.posted), array_agg(s.held), array_agg(s.seq), max(s.at),
         array_agg(s.limit_day), array_agg(s.day_out), array_agg(s.day_free_count::int),
         array_agg(case when s.caution_until > '-infinity' and s.caution_until > ledger.now()
                        then least(s.day_max, s.caution_day_max) else s.day_max end),
         array_agg(s.free_max), array_agg(s.free_count_max::int), array_agg(s.frozen_by_owner)
    into ids, a_owner, a_role, a_currency, a_status, a_overdraw, a_posted, a_held, a_seq, a_at,
         a_day, a_out, a_free, a_day_max, a_free_max, a_free_count_max, a_own
    from (select * from ledger.account c where c.id = any(p_leg_account) order by c.id for no key update) s;
  a_seq0 := a_seq;

  -- 2. New statements see what was committed before the locks were ours.
  select c.zone, c.free_max_minor_cap, c.free_daily_count_cap, c.payment_open_seconds into city from ledger.city c;
  ts := greatest(ledger.now(), a_at);               -- an account's time never runs against its sequence
  today := (ts at time zone city.zone)::date;
  for rule in select * from ledger.operation o where o.id = any(p_operation) loop
    op := rule.id; o_effect[op] := rule.effect; o_actor[op] := rule.actor_is; o_to[op] := rule.to_state;
    o_login[op] := rule.login is null or pg_has_role(session_user, rule.login, 'MEMBER');
    o_debit[op] := (select bit_or(1 << r) from unnest(rule.debit_roles) r);
    o_credit[op] := (select bit_or(1 << r) from unnest(rule.credit_roles) r);
    o_from[op] := (select bit_or(1 << r) from unnest(rule.from_states) r);
    o_proof[op] := rule.needs_proof; o_limit[op] := rule.counts_limit; o_frozen[op] := rule.ignores_freeze;
  end loop;
  select array_agg(u.fst order by u.i), array_agg(y.id order by u.i), array_agg(y.outcome order by u.i),
         array_agg(y.input_hash = u.h order by u.i), array_agg(y.at order by u.i)
    into first_i, old_id, old_outcome, old_same, old_at
    from (select w.*, min(w.i) over (partition by w.a, w.o, w.k) as fst
            from unnest(p_actor, p_operation, p_key, p_hash) with ordinality as w(a, o, k, h, i)) u
    left join lateral (select z.id, z.outcome, z.input_hash, z.at from ledger.instruction z
                        where z.actor_id = u.a and z.operation = u.o and z.key = u.k limit 1) y on true;
  select array_agg(t.o order by l.i) into leg_i
    from unnest(p_leg_account) with ordinality as l(account, i)
    left join unnest(ids) with ordinality as t(account, o) on t.account = l.account;
  if cardinality(p_subject) > 0 then
    select array_agg(p.id), array_agg(p.payer_id), array_agg(p.payee_id), array_agg(p.amount), array_agg(p.state),
           array_agg(p.expires_at), array_agg(p.captured), array_agg(p.refund_reserved), array_agg(p.refunded)
      into pay_ids, pay_payer, pay_payee, pay_amount, pay_state, pay_expires, pay_captured, pay_reserved, pay_refunded
      from (select distinct s as id from unnest(p_subject) s where s is not null) d
      join lateral (select q.* from ledger.payment q where q.id = d.id limit 1) p on true;
    select array_agg(t.o order by l.i) into pay_i
      from unnest(p_subject) with ordinality as l(id, i)
      left join unnest(pay_ids) with ordinality as t(id, o) on t.id = l.id;
  end if;

  -- 3. Decide in the order of arrival, on arrays.
  outcome := array_fill(posted, array[n]); entry := array_fill(null::uuid, array[n]);
  replayed := array_fill(false, array[n]); at := array_fill(ts, array[n]); state := array_fill(null::smallint, array[n]);
  subject_of := p_subject;
  for i in 1..n loop
    lo := hi + 1; hi := greatest(hi, p_leg_end[i]);   -- no leg belongs to two instructions
    if old_id[i] is not null then
      replayed[i] := true; entry[i] := old_id[i]; at[i] := old_at[i];
      outcome[i] := case when old_same[i] then old_outcome[i] else key_reused end;
      continue;
    end if;
    f := first_i[i];
    while f < i and outcome[f] in (not_found, not_permitted) loop   -- was not kept, so it burned no key: who is next?
      f := f + 1;
      while f < i and (p_actor[f], p_operation[f], p_key[f]) is distinct from (p_actor[i], p_operation[i], p_key[i]) loop
        f := f + 1;
      end loop;
    end loop;
    if f < i then                                     -- the same key twice in one batch
      replayed[i] := true; entry[i] := entry[f]; state[i] := state[f];
      outcome[i] := case when p_hash[f] = p_hash[i] then outcome[f] else key_reused end;
      continue;
    end if;
    op := p_operation[i]; effect := o_effect[op]; oc := posted; pay := pay_i[i]; moves := true; free := false; payer := null; payee := null;
    <<decide>>
    begin
      if effect is null or not o_login[op] or lo > hi or p_actor[i] is null or p_key[i] is null or p_hash[i] is null
         or length(p_key[i]) not between 1 and 128
         or (p_detail[i] is not null and not pg_input_is_valid(p_detail[i], 'jsonb')) then
        oc := not_permitted; exit decide;             -- here, because an error would undo the whole batch
      end if;
      if (o_actor[op] = 'SYSTEM') <> (p_actor[i] = 0) and not (effect = 'APPROVE_REFUND' and p_actor[i] = 0) and not (o_actor[op] = 'STAFF' and p_actor[i] = 0 and effect = 'FREEZE') then
        oc := not_permitted; exit decide;
      end if;
      total := 0; b := 0;
      for j in lo..hi loop
        a := leg_i[j]; m := p_leg_amount[j];
        if a is null then oc := not_found; exit decide; end if;
        if a <= b or m is null or m > amount_max or m < -amount_max or (m = 0 and effect = 'NONE') then
          oc := not_permitted; exit decide;           -- sorted, each account once
        end if;
        b := a; total := total + m;
        if m < 0 then payer := a; elsif m > 0 then payee := a; elsif payer is null then payer := a; end if;
        if (1 << a_role[a]) & (case when m < 0 then o_debit[op] when m > 0 then o_credit[op] else o_debit[op] | o_credit[op] end) = 0 then
          oc := not_permitted; exit decide;
        end if;
        if o_actor[op] = 'OWNER' and m <= 0 and a_owner[a] is distinct from p_actor[i] then oc := not_found; exit decide; end if;
        if a_currency[a] <> a_currency[leg_i[lo]] then oc := wrong_currency; exit decide; end if;
      end loop;
      if total <> 0 then oc := not_permitted; exit decide; end if;
      m := -least(p_leg_amount[lo], p_leg_amount[hi]);                              -- what the payer gives, of two legs
      -- what the operation is about
      if effect = 'CREATE_PAYMENT' then
        if hi - lo <> 1 or m <= 0 then oc := not_permitted; exit decide; end if;
        if a_status[payee] > 2 then oc := payee_closed; exit decide; end if;
      elsif effect = 'CONFIRM' then
        if pay is null then oc := not_found; exit decide; end if;
        if hi - lo <> 1 or ids[payer] <> pay_payer[pay] or ids[payee] <> pay_payee[pay] or m <> pay_amount[pay] then
          oc := not_permitted; exit decide;
        end if;
        if o_from[op] & (1 << pay_state[pay]) = 0 then oc := wrong_state; exit decide; end if;
        if pay_expires[pay] <= ts then oc := expired; exit decide; end if;
      elsif effect in ('CLOSE', 'REQUEST_REFUND', 'APPROVE_REFUND', 'REJECT_REFUND') then
        if pay is null then oc := not_found; exit decide; end if;
        if effect = 'APPROVE_REFUND' then
          if hi - lo <> 1 or ids[payee] <> pay_payer[pay] or (ids[payer] <> pay_payee[pay] and a_role[payer] <> 6) then
            oc := not_permitted; exit decide;
          end if;
        elsif hi > lo or p_leg_amount[lo] <> 0 or ids[payer] <> pay_payer[pay] then oc := not_permitted; exit decide;
        end if;
        if o_from[op] & (1 << pay_state[pay]) = 0 then oc := wrong_state; exit decide; end if;
        if effect = 'CLOSE' and o_actor[op] = 'SYSTEM' and pay_expires[pay] > ts then
          oc := not_permitted; exit decide;           -- nobody expires a payment before its time; the key stays free
        end if;
        if effect in ('APPROVE_REFUND', 'REJECT_REFUND') then
          select * into asked from ledger.refund r where r.id = p_related[i] and r.payment_id = p_subject[i];
          if not found then oc := not_found; exit decide; end if;
          if asked.state <> 1 then oc := wrong_state; exit decide; end if;
          signer := p_actor[i];
          if p_actor[i] = 0 then                      -- the city approves in the name of who signed the policy
            select q.signed_by into signer from ledger.refund_policy q
              where q.id = case when pg_input_is_valid(p_detail[i]::jsonb ->> 'policy_id', 'bigint')
                                then (p_detail[i]::jsonb ->> 'policy_id')::bigint end
                and q.ended_at is null and asked.amount <= q.amount_max_minor
                and exists (select from ledger.payment w where w.id = asked.payment_id
                            and ts - w.step_times[1] <= make_interval(secs => q.payment_age_max_seconds))
                and (select count(*) from ledger.refund w where w.payer_id = asked.payer_id
                       and w.requested_at > ts - interval '30 days') <= q.refunds_max_per_30_days;
            if not found then oc := outside_policy; exit decide; end if;
          end if;
          if signer in (asked.requester_id, asked.payer_owner_id, asked.payee_owner_id) then oc := party; exit decide; end if;
          if effect = 'APPROVE_REFUND' and m <> asked.amount then oc := not_permitted; exit decide; end if;
        elsif effect = 'REQUEST_REFUND' then
          m := case when pg_input_is_valid(p_detail[i]::jsonb ->> 'amount', 'bigint') then (p_detail[i]::jsonb ->> 'amount')::bigint end;
          if m is null or m <= 0 or m > pay_captured[pay] - pay_reserved[pay] - pay_refunded[pay] then
            oc := refund_excess; exit decide;
          end if;
        end if;
      elsif effect in ('FREEZE', 'UNFREEZE') then
        if hi > lo or p_leg_amount[lo] <> 0 then oc := not_permitted; exit decide; end if;
        a := case when effect = 'UNFREEZE' then 1 when p_detail[i]::jsonb ->> 'level' = 'FULL' then 3 else 2 end;
        if a_status[payer] = 4 or a_status[payer] = a and a = 1
           or (effect = 'FREEZE' and a_status[payer] >= a and (o_actor[op] = 'OWNER' or not a_own[payer])) then
          oc := wrong_state; exit decide;             -- what is closed stays closed; staff may take an owner's freeze over
        end if;
        if o_actor[op] = 'OWNER' and a_status[payer] <> 1 and not a_own[payer] then
          oc := frozen; exit decide;                  -- frozen by others, for others to lift
        end if;
        if effect = 'UNFREEZE' and o_actor[op] = 'STAFF' and a_owner[payer] = p_actor[i] then oc := party; exit decide; end if;
        if effect = 'UNFREEZE' and p_related[i] is not null and p_related[i] is distinct from (
             select w.entry_id from ledger.posting w where w.account_id = ids[payer] and w.operation in (50, 52)
              order by w.at desc, w.seq desc limit 1) then
          oc := wrong_state; exit decide;             -- frozen anew since: that is another case
        end if;
      elsif effect = 'CLOSE_WALLET' then
        if hi > lo or p_leg_amount[lo] <> 0 then oc := not_permitted; exit decide; end if;
        if a_status[payer] = 4 then oc := wrong_state; exit decide; end if;
        if a_status[payer] <> 1 then oc := frozen; exit decide; end if;
        if a_posted[payer] <> 0 or a_held[payer] <> 0
           or exists (select from ledger.refund r where r.payer_id = ids[payer] and r.state = 1) then
          oc := not_empty; exit decide;
        end if;
      elsif effect = 'SET_CAUTION' then
        setting := p_detail[i]::jsonb;
        if hi > lo or p_leg_amount[lo] <> 0 or not coalesce(
             case when pg_input_is_valid(setting ->> 'seconds', 'int') and pg_input_is_valid(setting ->> 'day_max', 'bigint')
                  then (setting ->> 'seconds')::int between 1 and 604800 and (setting ->> 'day_max')::bigint >= 0 end, false) then
          oc := not_permitted; exit decide;
        end if;
      elsif effect = 'SET_ALLOWANCE' then
        setting := p_detail[i]::jsonb;
        if hi > lo or p_leg_amount[lo] <> 0 or not coalesce(
             case when pg_input_is_valid(setting ->> 'amount_max', 'bigint') and pg_input_is_valid(setting ->> 'daily_count_max', 'int')
                  then (setting ->> 'amount_max')::bigint between 0 and city.free_max_minor_cap
                   and (setting ->> 'daily_count_max')::int between 0 and city.free_daily_count_cap end, false) then
          oc := not_permitted; exit decide;
        end if;
      end if;
      -- who may be debited now
      if not o_frozen[op] then
        for j in lo..hi loop
          a := leg_i[j];
          if p_leg_amount[j] < 0 and a_status[a] <> 1 then oc := frozen; exit decide; end if;
          if p_leg_amount[j] > 0 and (a_status[a] = 4 or a_status[a] = 3 and o_actor[op] <> 'SYSTEM') then
            oc := payee_closed; exit decide;          -- what the bank has taken already still arrives
          end if;
        end loop;
      elsif effect <> 'CLOSE' then                    -- a payment that nobody confirmed may end after its payer
        for j in lo..hi loop
          if a_status[leg_i[j]] = 4 then
            oc := case when p_leg_amount[j] > 0 then payee_closed else frozen end; exit decide;
          end if;
        end loop;
      end if;
      -- proven, or within the allowance, or only opened
      if o_proof[op] then
        if p_proof[i] is null or p_proof[i] = any(used) or not exists (
             select from ledger.proof q where q.id = p_proof[i] and q.actor_id = p_actor[i] and q.operation = op
                and q.key = p_key[i] and q.input_hash = p_hash[i] and q.expires_at > ts)
           or exists (select from ledger.instruction z where z.actor_id = p_actor[i] and z.proof_id = p_proof[i]) then
          oc := proof_needed; exit decide;
        end if;
        used := used || p_proof[i]; proof_of[i] := p_proof[i];   -- only a proof that proved something is used up
      elsif p_proof[i] is not null then oc := not_permitted; exit decide;
      end if;
      if effect = 'CREATE_PAYMENT' then
        free := m <= a_free_max[payer] and (case when a_day[payer] = today then a_free[payer] else 0 end) < a_free_count_max[payer];
        if not free then moves := false; exit decide; end if;
      end if;
      -- limits and balances
      for j in lo..hi loop
        m := p_leg_amount[j]; a := leg_i[j];
        if m < 0 then
          if a_day[a] <> today then a_day[a] := today; a_out[a] := 0; a_free[a] := 0; end if;
          if o_limit[op] and -m > a_day_max[a] - a_out[a] then oc := over_limit; exit decide; end if;
          if a_posted[a] - a_held[a] + m < 0 and not a_overdraw[a] then oc := insufficient; exit decide; end if;
        end if;
      end loop;
    end decide;

    outcome[i] := oc;
    if oc in (not_found, key_reused, not_permitted) then continue; end if;
    made := uuidv7(); entry[i] := made; nn := nn + 1; new_i[nn] := i;
    if oc <> posted then continue; end if;

    -- what changes beside the balances
    if effect = 'CREATE_PAYMENT' then
      subject_of[i] := made; np := np + 1; opened[np] := i; state[i] := case when moves then 2 else 1 end;
      if not moves then continue; end if;
      a_free[payer] := a_free[payer] + 1;
    elsif effect in ('CONFIRM', 'CLOSE', 'REQUEST_REFUND', 'APPROVE_REFUND', 'REJECT_REFUND') then
      pay_state[pay] := o_to[op]; state[i] := o_to[op];
      if effect = 'CONFIRM' then pay_captured[pay] := pay_amount[pay];
      elsif effect = 'REQUEST_REFUND' then
        m := (p_detail[i]::jsonb ->> 'amount')::bigint; pay_reserved[pay] := pay_reserved[pay] + m;
        insert into ledger.refund(id, payment_id, payer_id, payee_id, currency, amount, requester_id, payer_owner_id, payee_owner_id, requested_at, reason)
          select made, p_subject[i], pay_payer[pay], pay_payee[pay], a_currency[payer], m, p_actor[i], a_owner[payer], c.owner_id, ts, p_memo[i]
            from ledger.account c where c.id = pay_payee[pay];
      elsif effect in ('APPROVE_REFUND', 'REJECT_REFUND') then
        pay_reserved[pay] := pay_reserved[pay] - asked.amount;
        if effect = 'APPROVE_REFUND' then pay_refunded[pay] := pay_refunded[pay] + asked.amount; end if;
        update ledger.refund r set state = case when effect = 'APPROVE_REFUND' then 2 else 3 end, decider_id = signer,
            policy_id = case when p_actor[i] = 0 then (p_detail[i]::jsonb ->> 'policy_id')::bigint end,
            advanced = effect = 'APPROVE_REFUND' and a_role[payer] = 6, decided_at = ts, decision_reason = p_memo[i]
          where r.id = asked.id;
      end if;
      -- A payment moves at most once or twice a batch; the row is written at once, so that its steps keep their order.
      update ledger.payment q set state = pay_state[pay], captured = pay_captured[pay], refund_reserved = pay_reserved[pay],
          refunded = pay_refunded[pay], step_states = q.step_states || pay_state[pay], step_times = q.step_times || ts,
          expires_at = null
        where q.id = pay_ids[pay];
    elsif effect in ('FREEZE', 'UNFREEZE') then
      a_status[payer] := case when effect = 'UNFREEZE' then 1
                              else greatest(a_status[payer], case when p_detail[i]::jsonb ->> 'level' = 'FULL' then 3 else 2 end) end;
      a_own[payer] := effect = 'FREEZE' and o_actor[op] = 'OWNER';
      update ledger.account c set status = a_status[payer], frozen_by_owner = a_own[payer] where c.id = ids[payer];
    elsif effect = 'CLOSE_WALLET' then
      a_status[payer] := 4;
      update ledger.account c set status = 4 where c.id = ids[payer];
    elsif effect = 'SET_CAUTION' then                 -- never shortened, never loosened while it lasts
      m := (setting ->> 'day_max')::bigint;
      update ledger.account c set caution_until = greatest(c.caution_until, ts + make_interval(secs => (setting ->> 'seconds')::int)),
          caution_day_max = case when c.caution_until > ts then least(c.caution_day_max, m) else m end
        where c.id = ids[payer] returning least(c.day_max, c.caution_day_max) into m;
      a_day_max[payer] := m;
    elsif effect = 'SET_ALLOWANCE' then
      a_free_max[payer] := (setting ->> 'amount_max')::bigint; a_free_count_max[payer] := (setting ->> 'daily_count_max')::int;
      update ledger.account c set free_max = a_free_max[payer], free_count_max = a_free_count_max[payer] where c.id = ids[payer];
    end if;

    for j in lo..hi loop
      a := leg_i[j]; m := p_leg_amount[j]; k := k + 1;
      a_posted[a] := a_posted[a] + m; a_seq[a] := a_seq[a] + 1;
      if m < 0 and o_limit[op] then a_out[a] := a_out[a] - m; end if;
      e_account[k] := ids[a]; e_seq[k] := a_seq[a]; e_entry[k] := made; e_op[k] := op; e_amount[k] := m;
      e_after[k] := a_posted[a]; e_currency[k] := a_currency[a]; e_subject[k] := subject_of[i];
      e_other[k] := case when hi - lo = 1 then p_leg_account[lo + hi - j] end;
    end loop;
  end loop;

  -- 4. Write in sets.
  if nn > 0 then
    insert into ledger.instruction(actor_id, operation, key, id, input_hash, outcome, subject_id, proof_id, at, memo, detail)
      select p_actor[g], p_operation[g], p_key[g], entry[g], p_hash[g], outcome[g], subject_of[g], proof_of[g], ts, p_memo[g],
             p_detail[g]::jsonb
        from unnest(new_i) as g;
  end if;
  if np > 0 then
    insert into ledger.payment(id, payer_id, payee_id, currency, amount, captured, state, step_states, step_times, expires_at)
      select entry[g], d.account, c.account, a_currency[leg_i[p_leg_end[g]]], c.amount,
             case when state[g] = 2 then c.amount else 0 end, state[g], array[state[g]], array[ts],
             case when state[g] = 1 then ts + make_interval(secs => city.payment_open_seconds) end
        from unnest(opened) as g
        cross join lateral (select case when p_leg_amount[p_leg_end[g]] < 0 then p_leg_end[g] else p_leg_end[g] - 1 end as i) w
        cross join lateral (select p_leg_account[w.i] as account) d
        cross join lateral (select p_leg_account[2 * p_leg_end[g] - 1 - w.i] as account, -p_leg_amount[w.i] as amount) c;
  end if;
  if k > 0 then
    insert into ledger.posting(account_id, at, seq, entry_id, operation, currency, amount, posted_after, counterparty_id, subject_id)
      select u.account, ts, u.seq, u.entry, u.op, u.currency, u.amount, u.after, u.other, u.subject
        from unnest(e_account, e_seq, e_entry, e_op, e_currency, e_amount, e_after, e_other, e_subject)
          as u(account, seq, entry, op, currency, amount, after, other, subject);
    update ledger.account c set posted = u.posted, seq = u.seq, at = ts, limit_day = u.day, day_out = u.spent, day_free_count = u.free
      from unnest(ids, a_posted, a_seq, a_seq0, a_day, a_out, a_free) as u(id, posted, seq, seq0, day, spent, free)
      where c.id = u.id and u.seq <> u.seq0;
    insert into ledger.outbox(job, accounts, times, seqs) values ('notify_postings', e_account, array[ts], e_seq);
  end if;
end $$;
reset role;
