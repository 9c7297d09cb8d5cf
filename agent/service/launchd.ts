// The agent as a launchd daemon of macOS.
import { installedConfig } from '../setup.ts';
import { openSeal } from './seal.ts';
import { escapeXml, posixPath, type Service, type ServiceKind } from './service.ts';

const label = 'sentinel.agent';
const file = `/Library/LaunchDaemons/${label}.plist`;
const logFile = '/Library/Logs/Sentinel/agent.log';

export const launchd: ServiceKind = {
  title: 'launchd',
  platform: 'darwin',
  defaults: {
    // Not /usr/local/bin, which belongs to a person where Homebrew is.
    executable: '/Library/Sentinel/bin/sentinel-agent',
    config: installedConfig('darwin'),
    user: '_sentinelagent',
  },
  file,
  encoding: 'utf8',
  forms: {
    executable: posixPath,
    config: posixPath,
    user: { pattern: /^(?!root$)[a-z_][a-z0-9_-]{0,30}$/, words: 'a user of its own, not root' },
  },
  render,
  toStart: [`launchctl bootstrap system ${file}`],
  state: {
    program: 'launchctl',
    args: ['print', `system/${label}`],
    isRunning: (output) => /^\s*state = running$/m.test(output),
  },
  toStop: [{ program: 'launchctl', args: ['bootout', `system/${label}`] }],
  toForget: [],
};

function render({ executable, config, user }: Service): string {
  const text = (value: string): string => `<string>${escapeXml(value)}</string>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<!-- ${openSeal} -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  ${text(label)}
  <key>ProgramArguments</key>
  <array>
    ${text(executable)}
    <string>run</string>
    <string>--config</string>
    ${text(config)}
  </array>
  <key>UserName</key>
  ${text(user)}
  <key>RunAtLoad</key>
  <true/>
  <!-- launchd starts it again whenever it ends, and waits this long in between. -->
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>30</integer>
  <key>ExitTimeOut</key>
  <integer>10</integer>
  <key>ProcessType</key>
  <string>Background</string>
  <key>Umask</key>
  <integer>63</integer>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>256</integer>
  </dict>
  <key>StandardOutPath</key>
  ${text(logFile)}
  <key>StandardErrorPath</key>
  ${text(logFile)}
</dict>
</plist>
`;
}
