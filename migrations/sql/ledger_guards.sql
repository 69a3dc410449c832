-- What holds even against the owner of the tables: append only, nothing deleted, every entry sums to zero.
set role wallet_ledger;

create function ledger.now() returns timestamptz language sql volatile parallel safe
  set search_path = pg_catalog, pg_temp
  return clock_timestamp();

create function ledger.refuse_change() returns trigger language plpgsql
  set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '% on %.% is refused: money is never rewritten', tg_op, tg_table_schema, tg_table_name
    using errcode = 'WL001';
end $$;

create function ledger.check_zero_sum() returns trigger language plpgsql
  set search_path = pg_catalog, ledger, pg_temp as $$
declare
  bad uuid;
begin
  select entry_id into bad from new_postings group by entry_id, currency having sum(amount) <> 0 limit 1;
  if found then
    raise exception 'entry % does not sum to zero', bad using errcode = 'WL002';
  end if;
  return null;
end $$;

create trigger posting_zero_sum after insert on ledger.posting
  referencing new table as new_postings for each statement execute function ledger.check_zero_sum();
create trigger posting_append_only before update or delete on ledger.posting
  for each row execute function ledger.refuse_change();
create trigger instruction_append_only before update or delete on ledger.instruction
  for each row execute function ledger.refuse_change();
create trigger account_never_deleted before delete on ledger.account
  for each row execute function ledger.refuse_change();
create trigger payment_never_deleted before delete on ledger.payment
  for each row execute function ledger.refuse_change();
create trigger refund_never_deleted before delete on ledger.refund
  for each row execute function ledger.refuse_change();
do $$
declare
  name text;
begin
  foreach name in array array['account', 'posting', 'instruction', 'payment', 'refund'] loop
    execute format('create trigger %1$s_never_truncated before truncate on ledger.%1$s
                    for each statement execute function ledger.refuse_change()', name);
  end loop;
end $$;

-- A decided refund stays decided, and who asked for what never changes.
create function ledger.check_refund_change() returns trigger language plpgsql
  set search_path = pg_catalog, pg_temp as $$
begin
  if old.state <> 1 or (new.payment_id, new.amount, new.requester_id, new.payer_owner_id, new.payee_owner_id)
     is distinct from (old.payment_id, old.amount, old.requester_id, old.payer_owner_id, old.payee_owner_id) then
    raise exception 'refund % is decided', old.id using errcode = 'WL003';
  end if;
  return new;
end $$;
create trigger refund_decided_once before update on ledger.refund
  for each row execute function ledger.check_refund_change();

-- Months of postings, one partition each, made ahead by the migration and every night by a job.
create function ledger.ensure_partitions(p_months_ahead int) returns int language plpgsql security definer
  set search_path = pg_catalog, ledger, pg_temp as $$
declare
  first date := (date_trunc('month', ledger.now() at time zone 'utc') - interval '2 months')::date;
  month date; made int := 0; name text;
begin
  if p_months_ahead not between 1 and 60 then
    raise exception 'between 1 and 60 months' using errcode = 'WL004';
  end if;
  for n in 0..p_months_ahead + 2 loop
    month := (first + make_interval(months => n))::date;
    name := 'posting_' || to_char(month, 'YYYY_MM');
    if to_regclass('ledger.' || name) is null then
      execute format('create table ledger.%I partition of ledger.posting for values from (%L) to (%L)', name,
        month::timestamp at time zone 'utc', (month + interval '1 month')::timestamp at time zone 'utc');
      made := made + 1;
    end if;
  end loop;
  return made;
end $$;
select ledger.ensure_partitions(24);
reset role;
