/** Every text of the console's own frame, in both languages. GraphiQL itself speaks English. */

export type Language = "zh-CN" | "en";

const en = {
  title: "Console",
  signIn: "Sign in",
  signInHint: "For staff of the wallet. Residents and merchants use the app.",
  phone: "Phone number",
  password: "Password",
  signingIn: "Signing in…",
  codeTitle: "Confirm it is you",
  codeHint: "This browser is new to your account, so signing in takes a code as well.",
  codeSent: "A code is on its way to your phone.",
  code: "Six-digit code",
  totpHint: "Type the code that your authenticator app shows now. Each code works once.",
  totp: "Code of the authenticator",
  passkeyHint: "Staff sign in with a passkey or an authenticator app. You have a passkey.",
  usePasskey: "Use a passkey",
  passkeyFailed: "The passkey was not used. Try again, or open the console by its proper name.",
  enrolTitle: "Set up your authenticator",
  enrolPasswordHint:
    "Staff sign in with an authenticator app, and you have none yet. Type your password once more " +
    "to see its secret. Until then nothing else is open to you.",
  enrolHint: "Add this secret to your authenticator app, then type the code that it shows.",
  confirm: "Confirm",
  back: "Back",
  signOut: "Sign out",
  signedInAs: "Signed in as",
  environment: "Environment",
  loading: "Loading the workbench…",
  loadFailed: "The workbench could not be loaded. Check the connection and reload the page.",
  unreachable: "The server cannot be reached. Check the connection and try again.",
  unexpected: "The server answered in a way this page does not understand. Try again later.",
  notStaff: "This account is not a staff account, so it has no console. You have been signed out.",
  sessionEnded: "Your session has ended. Sign in again.",
  signedOut: "You are signed out.",
  newKey: "New idempotency key in the variables",
  workbench: "GraphQL workbench",
};

const zh: typeof en = {
  title: "管理控制台",
  signIn: "登录",
  signInHint: "仅限钱包工作人员。居民和商户请使用应用。",
  phone: "手机号",
  password: "密码",
  signingIn: "正在登录…",
  codeTitle: "验证身份",
  codeHint: "您的账号首次在此浏览器登录，还需输入短信验证码。",
  codeSent: "验证码已发送到您的手机。",
  code: "六位验证码",
  totpHint: "请输入身份验证器当前显示的动态验证码，每个验证码只能使用一次。",
  totp: "动态验证码",
  passkeyHint: "工作人员须使用通行密钥或身份验证器登录，您已有通行密钥。",
  usePasskey: "使用通行密钥",
  passkeyFailed: "未能使用通行密钥，请重试，或通过正式域名打开控制台。",
  enrolTitle: "绑定身份验证器",
  enrolPasswordHint: "工作人员须使用身份验证器登录，您尚未绑定。请再次输入密码以查看密钥；绑定之前不能进行其他操作。",
  enrolHint: "请将此密钥添加到身份验证器，然后输入其显示的动态验证码。",
  confirm: "确认",
  back: "返回",
  signOut: "退出登录",
  signedInAs: "当前用户",
  environment: "环境",
  loading: "正在加载工作台…",
  loadFailed: "工作台加载失败。请检查网络后刷新页面。",
  unreachable: "无法连接服务器。请检查网络后重试。",
  unexpected: "服务器返回了无法识别的结果，请稍后再试。",
  notStaff: "该账号不是工作人员账号，不能使用控制台。已为您退出登录。",
  sessionEnded: "登录已失效，请重新登录。",
  signedOut: "您已退出登录。",
  newKey: "在变量中换一个新的幂等键",
  workbench: "GraphQL 工作台",
};

export type TextKey = keyof typeof en;

export const TEXTS: Record<Language, Record<TextKey, string>> = { "zh-CN": zh, en };

const ROLES: Record<string, Record<Language, string>> = {
  SUPPORT: { "zh-CN": "客服", en: "Support" },
  FINANCE: { "zh-CN": "财务", en: "Finance" },
  RISK: { "zh-CN": "风控", en: "Risk" },
  COMPLIANCE: { "zh-CN": "合规", en: "Compliance" },
  AUDITOR: { "zh-CN": "审计", en: "Auditor" },
  ADMIN: { "zh-CN": "管理员", en: "Administrator" },
};

/** A role's name for people; a role this build has not heard of shows as the server names it. */
export function roleName(role: string, language: Language): string {
  return ROLES[role]?.[language] ?? role;
}

export function preferredLanguage(): Language {
  return navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}
