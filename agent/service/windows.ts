// The agent as a task of the Windows Task Scheduler. An executable of Node cannot be a service by itself, since it does
// not answer the service control manager. The scheduler is part of Windows, where a wrapper would be one more program
// from elsewhere that runs on every machine and has to be kept up to date.
import { installedConfig } from '../setup.ts';
import { openSeal } from './seal.ts';
import { escapeXml, type Service, type ServiceKind, windowsPath } from './service.ts';

const task = 'Sentinel Agent';
// Not beside the configuration: whom the agent runs as can write there, and an administrator registers what this file says.
const file = String.raw`C:\Program Files\Sentinel\sentinel-agent.task.xml`;

export const windows: ServiceKind = {
  title: 'Task Scheduler',
  platform: 'win32',
  defaults: {
    executable: String.raw`C:\Program Files\Sentinel\sentinel-agent.exe`,
    config: installedConfig('win32'),
    user: 'S-1-5-19',
  },
  file,
  // As Windows itself writes tasks; without an encoding in its first line the same text can be printed as UTF-8.
  encoding: 'utf16le',
  forms: {
    executable: windowsPath,
    config: windowsPath,
    user: { pattern: /^S-1-5-(19|20)$/, words: 'S-1-5-19 (LOCAL SERVICE) or S-1-5-20 (NETWORK SERVICE)' },
  },
  render,
  toStart: [
    `Register-ScheduledTask -TaskName '${task}' -Xml (Get-Content -Raw -LiteralPath '${file}')`,
    `Start-ScheduledTask -TaskName '${task}'`,
  ],
  state: {
    ...powershell(`(Get-ScheduledTask -TaskName '${task}' -ErrorAction Stop).State.ToString()`),
    isRunning: (output) => output.trim() === 'Running',
  },
  toStop: [
    powershell(
      `Stop-ScheduledTask -TaskName '${task}' -ErrorAction Stop; ` +
        `Unregister-ScheduledTask -TaskName '${task}' -Confirm:$false -ErrorAction Stop`,
    ),
  ],
  toForget: [],
};

function powershell(script: string) {
  return { program: 'powershell', args: ['-NoProfile', '-NonInteractive', '-Command', script] } as const;
}

function render({ executable, config, user }: Service): string {
  return `<?xml version="1.0"?>
<!-- ${openSeal} -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Tells Sentinel about this device.</Description>
  </RegistrationInfo>
  <Triggers>
    <!-- When Windows starts; the scheduler looks again every five minutes and starts it if it does not run. -->
    <BootTrigger>
      <Repetition>
        <Interval>PT5M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
    </BootTrigger>
  </Triggers>
  <Principals>
    <Principal id="Agent">
      <UserId>${escapeXml(user)}</UserId>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>7</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Agent">
    <Exec>
      <Command>${escapeXml(executable)}</Command>
      <Arguments>run --config "${escapeXml(config)}"</Arguments>
    </Exec>
  </Actions>
</Task>
`;
}
