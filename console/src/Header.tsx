import type { Viewer } from "./session";
import { roleName, TEXTS } from "./texts";
import type { Language } from "./texts";

type Props = {
  environment: string;
  language: Language;
  viewer: Viewer | null;
  onLanguage: (language: Language) => void;
  onSignOut: () => void;
};

const LANGUAGES: { code: Language; name: string }[] = [
  { code: "zh-CN", name: "中文" },
  { code: "en", name: "English" },
];

export function Header({ environment, language, viewer, onLanguage, onSignOut }: Props) {
  const texts = TEXTS[language];
  return (
    <header className="bar">
      <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
        <rect x="2" y="7" width="28" height="20" rx="5" />
        <path d="M7 20c4-1 6-7 9-7s5 6 9 7" />
      </svg>
      <p className="name">
        <span lang="zh-CN">鹏城钱包</span> <span lang="en">Pengcheng Wallet</span>
        <span className="part">
          {" · "}
          {texts.title}
        </span>
      </p>
      <span className={`badge ${environment}`} title={texts.environment}>
        {environment}
      </span>
      <div className="spring" />
      {viewer && (
        <p className="who" data-testid="who">
          <span className="quiet">{texts.signedInAs}</span>{" "}
          <strong>{viewer.displayName ?? viewer.id}</strong>
          <span className="role">{roleName(viewer.role, language)}</span>
        </p>
      )}
      <div className="languages" role="group" aria-label="语言 Language">
        {LANGUAGES.map(({ code, name }) => (
          <button
            key={code}
            type="button"
            lang={code}
            aria-pressed={code === language}
            onClick={() => onLanguage(code)}
          >
            {name}
          </button>
        ))}
      </div>
      {viewer && (
        <button type="button" className="leave" onClick={onSignOut}>
          {texts.signOut}
        </button>
      )}
    </header>
  );
}
