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
  ADMIN: { "zh-CN": "管理员", en: "Administrator" },
};

/** A role's name for people; a role this build has not heard of shows as the server names it. */
export function roleName(role: string, language: Language): string {
  return ROLES[role]?.[language] ?? role;
}

export function preferredLanguage(): Language {
  return navigator.language.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
}
