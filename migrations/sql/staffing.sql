-- Who is staff is decided here: the logins can't write a role, they can only ask the functions below, which demand an
-- ADMIN who isn't the person in question (two where an ADMIN comes or goes), keep the change, and write it into the audit log.
-- What the functions can't know is whether the ADMIN they are told of is really there: that is the app's word.
revoke insert, update, delete on role_change from wallet_api, wallet_worker;
revoke delete on elevation from wallet_api, wallet_worker;
revoke update on elevation from wallet_api, wallet_worker;
grant update (ended_at) on elevation to wallet_api, wallet_worker;

alter table role_change
  add constraint role_change_state check (state in ('PROPOSED', 'DONE', 'REJECTED')),
  add constraint role_change_roles check (from_role <> to_role),
  add constraint role_change_decided check
    ((state = 'PROPOSED') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
  add constraint role_change_not_ones_own check (proposed_by <> user_id and decided_by is distinct from user_id);
create unique index role_change_proposed on role_change(user_id) where state = 'PROPOSED';
create trigger role_change_once before update on role_change
  for each row when (old.state <> 'PROPOSED') execute function ledger.refuse_change();
create trigger role_change_kept before delete on role_change
  for each row execute function ledger.refuse_change();
create trigger role_change_never_truncated before truncate on role_change
  for each statement execute function ledger.refuse_change();
alter table elevation
  add constraint elevation_life check (until > started_at and until <= started_at + interval '15 minutes'),
  add constraint elevation_method check (method in ('TOTP', 'PASSKEY'));
alter table totp
  add constraint totp_failures check (failures >= 0),
  add constraint totp_step check (last_step >= 0);

insert into proof_policy(deed, sufficient, reason, valid_from)
  values ('ELEVATE', '["PASSKEY"]', 'staff have passkeys or authenticators, no PIN', timestamptz '2020-01-01 00:00:00+00');

-- Only the tables' owner (as whom the functions run) writes roles; whoever is staff stays ACTIVE until dismissed.
create function guard_roles() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if not pg_has_role(current_user, (select c.relowner from pg_class c where c.oid = tg_relid), 'USAGE') then
    raise exception 'roles are changed by change_role_v1 only' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger users_role_given before insert on users
  for each row when (new.role not in ('RESIDENT', 'MERCHANT')) execute function guard_roles();
create trigger users_role_changed before update on users
  for each row when (new.role is distinct from old.role
                     or old.role not in ('RESIDENT', 'MERCHANT') and new.status is distinct from old.status)
  execute function guard_roles();

-- Authenticators: a step that was used stays used, and a secret is exchanged by removing it only.
create function guard_totp() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if new.user_id <> old.user_id or new.last_step < old.last_step
     or old.confirmed_at is not null and (new.confirmed_at is distinct from old.confirmed_at) then
    raise exception 'a used code stays used, and a confirmed authenticator confirmed' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger totp_only_forward before update on totp for each row execute function guard_totp();

-- An audit entry as the app describes its circumstances (role, session, reason …); what it is about is said here.
create function record_role_change(p_change role_change, p_actor bigint, p_action text, p_circumstances jsonb) returns void
language sql set search_path = pg_catalog, public, pg_temp as $$
  insert into audit_entry
    select e.* from jsonb_populate_record(null::audit_entry, coalesce(p_circumstances, '{}') || jsonb_build_object(
      'id', coalesce(p_circumstances ->> 'id', uuidv7()::text), 'actor_id', p_actor, 'action', p_action,
      'object', 'user:' || p_change.user_id, 'created_at', ledger.now(),
      'detail', coalesce(p_circumstances -> 'detail', '{}') || jsonb_build_object(
        'change', p_change.id, 'from', p_change.from_role, 'to', p_change.to_role))) e
$$;

-- Why this person may not get this role now, or null. The caller holds the lock below.
create function role_change_hindrance(p_actor bigint, p_change role_change) returns text
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
  person users;
begin
  if p_actor = p_change.user_id
     or not exists (select from users u where u.id = p_actor and u.role = 'ADMIN' and u.status = 'ACTIVE') then
    return 'NOT_PERMITTED';
  end if;
  select * into person from users u where u.id = p_change.user_id for update;
  if not found then return 'NOT_FOUND'; end if;
  if person.role <> p_change.from_role or p_change.to_role = p_change.from_role then return 'STALE'; end if;
  if person.role = 'MERCHANT' or p_change.to_role = 'MERCHANT' then return 'WALLET_IN_USE'; end if;
  if person.status <> 'ACTIVE' or exists (
    select from closing c where c.user_id = person.id and c.state in ('COOLING', 'CLOSING')) then
    return 'NOT_ACTIVE';
  end if;
  if person.role = 'RESIDENT' and exists (
    select from ledger.account a join ledger.posting p on p.account_id = a.id
     where a.owner_id = person.id and (p.amount <> 0 or p.held_delta <> 0)) then
    return 'WALLET_IN_USE';
  end if;
  return null;
end $$;

create function apply_role_change(p_change role_change) returns void
language sql set search_path = pg_catalog, public, pg_temp as $$
  update users set role = p_change.to_role, version = version + 1 where id = p_change.user_id
$$;

-- DONE, PROPOSED (another ADMIN has to confirm), or why not: NOT_PERMITTED, NOT_FOUND, STALE, NOT_ACTIVE, WALLET_IN_USE.
create function change_role_v1(p_id uuid, p_actor bigint, p_user bigint, p_from text, p_to text, p_reason bytea, p_circumstances jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  change role_change; hindrance text;
begin
  -- One change at a time: two ADMINs who dismiss each other at once leave one.
  perform pg_advisory_xact_lock(7165764963);
  change.id := p_id; change.user_id := p_user; change.from_role := p_from; change.to_role := p_to; change.state := 'PROPOSED';
  change.reason := p_reason; change.proposed_by := p_actor; change.proposed_at := ledger.now();
  hindrance := role_change_hindrance(p_actor, change);
  if hindrance is not null then return hindrance; end if;
  update role_change c set state = 'REJECTED', decided_by = p_actor, decided_at = ledger.now()   -- nobody confirmed it in time
    where c.user_id = p_user and c.state = 'PROPOSED' and c.proposed_at <= ledger.now() - interval '1 day';
  if exists (select from role_change c where c.user_id = p_user and c.state = 'PROPOSED') then return 'STALE'; end if;
  -- With a single ADMIN besides this person there is nobody to ask.
  if 'ADMIN' not in (p_from, p_to)
     or (select count(*) from users u where u.role = 'ADMIN' and u.status = 'ACTIVE' and u.id <> p_user) = 1 then
    change.state := 'DONE'; change.decided_by := p_actor; change.decided_at := ledger.now();
    perform apply_role_change(change);
  end if;
  insert into role_change(id, user_id, from_role, to_role, state, reason, proposed_by, proposed_at, decided_by, decided_at)
    values (change.id, change.user_id, change.from_role, change.to_role, change.state, change.reason, change.proposed_by,
            change.proposed_at, change.decided_by, change.decided_at);
  perform record_role_change(change, p_actor, case when change.state = 'DONE' then 'CHANGE_ROLE' else 'PROPOSE_ROLE' end, p_circumstances);
  return change.state;
end $$;

-- DONE or REJECTED, or why not: as above, and SAME_PERSON for whoever would confirm the own proposal.
create function decide_role_change_v1(p_id uuid, p_actor bigint, p_confirm boolean, p_circumstances jsonb)
returns text language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  change role_change; hindrance text;
begin
  perform pg_advisory_xact_lock(7165764963);
  select * into change from role_change c where c.id = p_id;
  if not found then return 'NOT_FOUND'; end if;
  if change.state <> 'PROPOSED' or change.proposed_at <= ledger.now() - interval '1 day' then return 'STALE'; end if;
  if p_actor = change.user_id
     or not exists (select from users u where u.id = p_actor and u.role = 'ADMIN' and u.status = 'ACTIVE') then
    return 'NOT_PERMITTED';
  end if;
  if p_confirm then
    if p_actor = change.proposed_by then return 'SAME_PERSON'; end if;
    hindrance := role_change_hindrance(p_actor, change);
    if hindrance is not null then return hindrance; end if;
    if role_change_hindrance(change.proposed_by, change) is not null then return 'STALE'; end if;  -- who proposed it is no ADMIN any more
    perform apply_role_change(change);
  end if;
  update role_change c set state = case when p_confirm then 'DONE' else 'REJECTED' end, decided_by = p_actor, decided_at = ledger.now()
    where c.id = p_id returning * into change;
  perform record_role_change(change, p_actor, case when p_confirm then 'CHANGE_ROLE' else 'REJECT_ROLE' end, p_circumstances);
  return change.state;
end $$;

-- Whoever lets the others in: once, while there is no ADMIN. DONE, EXISTS, NOT_FOUND.
create function make_first_admin_v1(p_id uuid, p_user bigint) returns text
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  change role_change;
begin
  perform pg_advisory_xact_lock(7165764963);
  if exists (select from users u where u.role = 'ADMIN') then return 'EXISTS'; end if;
  if not exists (select from users u where u.id = p_user and u.role = 'RESIDENT' and u.status = 'ACTIVE') then return 'NOT_FOUND'; end if;
  change.id := p_id; change.user_id := p_user; change.from_role := 'RESIDENT'; change.to_role := 'ADMIN'; change.state := 'DONE';
  change.proposed_by := 0; change.proposed_at := ledger.now(); change.decided_by := 0; change.decided_at := change.proposed_at;
  insert into role_change(id, user_id, from_role, to_role, state, proposed_by, proposed_at, decided_by, decided_at)
    values (change.id, change.user_id, change.from_role, change.to_role, change.state, change.proposed_by, change.proposed_at,
            change.decided_by, change.decided_at);
  perform apply_role_change(change);
  perform record_role_change(change, 0, 'MAKE_FIRST_ADMIN', null);
  return 'DONE';
end $$;

revoke all on function guard_roles(), guard_totp(), record_role_change(role_change, bigint, text, jsonb),
  role_change_hindrance(bigint, role_change), apply_role_change(role_change),
  change_role_v1(uuid, bigint, bigint, text, text, bytea, jsonb), decide_role_change_v1(uuid, bigint, boolean, jsonb),
  make_first_admin_v1(uuid, bigint) from public;
grant execute on function change_role_v1(uuid, bigint, bigint, text, text, bytea, jsonb),
  decide_role_change_v1(uuid, bigint, boolean, jsonb), make_first_admin_v1(uuid, bigint) to wallet_api, wallet_worker;
