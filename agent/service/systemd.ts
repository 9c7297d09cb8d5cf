// The agent as a systemd service.
import { installedConfig } from '../setup.ts';
import { openSeal } from './seal.ts';
import { posixPath, type Service, type ServiceKind } from './service.ts';

const unit = 'sentinel-agent.service';

export const systemd: ServiceKind = {
  title: 'systemd',
  platform: 'linux',
  defaults: {
    executable: '/usr/local/bin/sentinel-agent',
    config: installedConfig('linux'),
    user: 'sentinel-agent',
  },
  file: `/etc/systemd/system/${unit}`,
  encoding: 'utf8',
  forms: {
    executable: posixPath,
    config: posixPath,
    user: { pattern: /^(?!root$)[a-z_][a-z0-9_-]{0,30}$/, words: 'a user of its own, not root' },
  },
  render,
  toStart: ['systemctl daemon-reload', `systemctl enable --now ${unit}`],
  state: {
    program: 'systemctl',
    args: ['show', unit, '--property=ActiveState,SubState,Result,NRestarts,NeedDaemonReload,StatusText'],
    isRunning: (output) => /^ActiveState=active$/m.test(output) && !/^NeedDaemonReload=yes$/m.test(output),
  },
  toStop: [{ program: 'systemctl', args: ['disable', '--now', unit] }],
  toForget: [{ program: 'systemctl', args: ['daemon-reload'] }],
};

function render({ executable, config, user }: Service): string {
  return `# ${openSeal}
[Unit]
Description=Sentinel agent: tells Sentinel about this device
Wants=network-online.target
After=network-online.target
# It is never given up: a device that falls silent is not trusted for long.
StartLimitIntervalSec=0

[Service]
# Node has no sockets for sd_notify, so the agent has systemd-notify speak for it: a process beside the main one.
Type=notify
NotifyAccess=all
ExecStart="${executable}" run --config "${config}"
User=${user}
Restart=always
# From 5 seconds to 5 minutes in 8 steps; systemd before 254 ignores the last two lines and stays at 5 seconds.
RestartSec=5s
RestartSteps=8
RestartMaxDelaySec=5min
TimeoutStartSec=90s
TimeoutStopSec=10s
WatchdogSec=10min

# /var/lib/sentinel-agent, the only place that it can write to. state_path of the configuration has to be in there.
StateDirectory=sentinel-agent
StateDirectoryMode=0700
UMask=0077

# At rest it takes less than half of this.
MemoryMax=256M
TasksMax=64
CPUQuota=50%

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Not here, on purpose:
# MemoryDenyWriteExecute, since V8 writes the machine code that it runs;
# ProtectHostname, which would hide a new host name from the agent that reports it;
# ProcSubset=pid, which hides what posture is read from.

[Install]
WantedBy=multi-user.target
`;
}
