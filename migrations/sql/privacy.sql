-- Consents, exports and closings: what the logins may do with them, what they refuse by themselves, and the first data.
revoke insert, update, delete on consent_purpose, consent_version, retention_rule from wallet_api, wallet_worker;
revoke update on consent from wallet_api, wallet_worker;
revoke delete on consent, closing, data_export, data_export_piece from wallet_api;
revoke insert, update on data_export_piece from wallet_api;
revoke delete on closing from wallet_worker;
-- Whom a closed account belonged to, the API never reads: the law's questions go to the owner of the database. The worker
-- writes it, seals it anew when keys change, and erases it.
revoke all on retained_identity from wallet_api;
grant delete on notice, notice_preference, passkey, identity_check to wallet_worker;  -- of closed accounts

-- Whoever has neither PIN nor passkey asks for a copy or leaves by the password. It moves no money: ledger.proof knows no such method.
alter table step_up drop constraint step_up_method,
  add constraint step_up_method check (method in ('PIN', 'PASSKEY', 'PIN_AND_CODE')
    or method = 'PASSWORD' and action in ('EXPORT_DATA', 'CLOSE_ACCOUNT'));

alter table consent_version
  add constraint consent_version_purpose foreign key (purpose) references consent_purpose(code),
  add constraint consent_version_positive check (version > 0);
alter table consent
  add constraint consent_known foreign key (purpose, version) references consent_version(purpose, version);
alter table closing
  add constraint closing_state check (state in ('COOLING', 'CLOSING', 'CLOSED', 'CANCELLED', 'STOPPED')),
  add constraint closing_ended check ((state in ('COOLING', 'CLOSING')) = (ended_at is null));
create unique index closing_one_open on closing(user_id) where state in ('COOLING', 'CLOSING');
alter table data_export
  add constraint data_export_state check (state in ('WAITING', 'RUNNING', 'READY', 'EXPIRED', 'FAILED')),
  add constraint data_export_password_blank check (state in ('WAITING', 'RUNNING') or password = ''),
  add constraint data_export_ready check ((state = 'READY') <= (ready_at is not null and expires_at is not null));
create unique index data_export_one_at_a_time on data_export(user_id) where state in ('WAITING', 'RUNNING');
alter table data_export_piece
  add constraint data_export_piece_of foreign key (export_id) references data_export(id) on delete cascade,
  add constraint data_export_piece_small check (length(content) <= 8388608);
create trigger consent_never_rewritten before update on consent
  for each row execute function ledger.refuse_change();

insert into consent_purpose(code, required, title_zh, title_en) values
  ('TERMS', true, '用户服务协议', 'Terms of service'),
  ('PRIVACY', true, '隐私政策', 'Privacy policy'),
  ('PERSONALISATION', false, '个性化推荐', 'Personalised recommendations');
insert into consent_version(id, purpose, version, effective_from, text_zh, text_en) values
  (1, 'TERMS', 1, '2026-01-01 00:00:00+08',
   '您使用鹏城钱包充值、付款、转账和退款，须遵守本协议。钱包仅限本人使用，请妥善保管登录密码和支付密码；发现异常请立即冻结钱包。',
   'By these terms you top up, pay, send money and ask for refunds with Pengcheng Wallet. The wallet is yours alone: keep your passwords to yourself, and freeze it at once when something is wrong.'),
  (2, 'PRIVACY', 1, '2026-01-01 00:00:00+08',
   '为开立钱包和防范欺诈，我们处理您的手机号、姓名、身份信息和交易记录，均加密保存，并在法律规定的期限后删除。您可随时导出自己的数据或注销账户。',
   'To run your wallet and to prevent fraud we process your phone number, name, identity and transactions. All of it is encrypted, and erased when the law lets us. You can export your data or close your account at any time.'),
  (3, 'PERSONALISATION', 1, '2026-01-01 00:00:00+08',
   '我们根据您最近的付款记录，把常用的付款方式排在前面。您可随时关闭，关闭后按默认顺序显示。',
   'We put the way you pay most often first, by your recent payments. You can switch this off at any time; then the order is the same for everybody.');

insert into retention_rule(code, kept_days, ground_zh, ground_en) values
  ('CODES', 2, '注册和登录安全：统计发送次数', 'Security of registration and login: counting what was sent'),
  ('PLACES', 30, '登录安全：减缓密码猜测', 'Security of login: slowing guesses down'),
  ('LOOKUPS', 1, '防止批量查询收款人', 'Keeping the phone book from being read out'),
  ('CHALLENGES', 1, '防止验证内容被重复使用', 'Security of proofs: no challenge is answered twice'),
  ('SESSIONS', 90, '账户安全：查明异常登录', 'Security of accounts: finding out about strange logins'),
  ('DEVICES', 180, '账户安全：已移除的设备不得再次使用', 'Security of accounts: a device that was removed doesn''t come back'),
  ('EXPORTS', 30, '个人信息查阅、复制请求的记录', 'Record of requests for copies of one''s own data'),
  ('PROFILE', 0, '履行合同，注销时删除', 'Performing the contract; erased at closing'),
  ('IDENTITY', 1825, '反洗钱法：业务关系结束后保存客户身份资料', 'Anti-money-laundering law: who a customer was, after the relationship has ended'),
  ('LEDGER', 3650, '会计档案和反洗钱法：交易记录', 'Accounting and anti-money-laundering law: records of transactions'),
  ('CASES', 1825, '反洗钱法和投诉处理：冻结与申诉', 'Anti-money-laundering law and complaints: freezes and appeals'),
  ('CONSENTS', 1095, '诉讼时效：证明何时同意过什么', 'Limitation of claims: proof of who agreed to what and when'),
  ('AUDIT', null, '安全审计：只增不改，员工填写的理由加密保存', 'Security audit: append-only; the reasons that staff gave are sealed'),
  ('NONE', null, '不是个人信息', 'No personal data');
