// What an agent finds out about a machine: from texts as Linux, macOS and Windows give them, and null where they do not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Check } from 'typebox/value';
import { createObserver } from '#agent/facts.ts';
import { bootMode, parseProfiler, parseRegistry, parseSecureBoot } from '#agent/facts/boot-mode.ts';
import { diskEncryption, parseFdesetup, parseProtectionStatus, parseRootMount } from '#agent/facts/disk-encryption.ts';
import { clean } from '#agent/facts/fact.ts';
import { hostname } from '#agent/facts/hostname.ts';
import { osVersion, parseOsRelease, parseSwVers, parseWindows } from '#agent/facts/os-version.ts';
import { platform } from '#agent/facts/platform.ts';
import { createUptime } from '#agent/facts/uptime.ts';
import { createSystem, type System } from '#agent/system.ts';
import { HeartbeatBody } from '#contracts/http/heartbeat.ts';
import { fakeSystem, type FakeSystemParts } from '#tests/fakes/fake-system.ts';

const registry = (name: string, type: string, value: string): string =>
  `\r\nHKEY_LOCAL_MACHINE\\SOMEWHERE\r\n    ${name}    ${type}    ${value}\r\n\r\n`;

describe('disk encryption', () => {
  const rootOn = (number: string, source: string): string =>
    `22 27 0:21 / /proc rw,relatime - proc proc rw\n27 1 ${number} / / rw,relatime shared:1 - ext4 ${source} rw\n`;
  const mounts = '/proc/self/mountinfo';
  const block = '/sys/dev/block';
  const named = '/sys/class/block';

  const machines: readonly [name: string, parts: FakeSystemParts, encrypted: boolean | null][] = [
    [
      'LVM on LUKS',
      {
        files: {
          [mounts]: rootOn('254:1', '/dev/mapper/vg-root'),
          [`${block}/254:1/dm/uuid`]: 'LVM-abc',
          [`${block}/254:1/slaves/dm-0/.`]: '',
          [`${named}/dm-0/dm/uuid`]: 'CRYPT-LUKS2-0123-cryptroot\n',
        },
      },
      true,
    ],
    ['a partition', { files: { [mounts]: rootOn('8:1', '/dev/sda1'), [`${block}/8:1/partition`]: '1\n' } }, false],
    ['a whole disk', { files: { [mounts]: rootOn('254:0', '/dev/vda'), [`${block}/254:0/slaves/.`]: '' } }, false],
    [
      'a RAID of which one half is encrypted',
      {
        files: {
          [mounts]: rootOn('9:0', '/dev/md0'),
          [`${block}/9:0/slaves/dm-0/.`]: '',
          [`${block}/9:0/slaves/sdb1/.`]: '',
          [`${named}/dm-0/dm/uuid`]: 'CRYPT-LUKS1-1',
          [`${named}/sdb1/partition`]: '1',
        },
      },
      false,
    ],
    [
      'a verified but readable root',
      {
        files: {
          [mounts]: rootOn('254:1', '/dev/dm-1'),
          [`${block}/254:1/dm/uuid`]: 'CRYPT-VERITY-abc',
          [`${block}/254:1/slaves/sda2/.`]: '',
          [`${named}/sda2/partition`]: '2',
        },
      },
      false,
    ],
    [
      'Btrfs on LUKS, which has a number of its own',
      {
        files: { [mounts]: rootOn('0:25', '/dev/mapper/luks-1'), [`${named}/dm-3/dm/uuid`]: 'CRYPT-LUKS2-1' },
        links: { '/dev/mapper/luks-1': '/dev/dm-3' },
      },
      true,
    ],
    ['a container', { files: { [mounts]: rootOn('0:60', 'overlay') } }, null],
    ['a machine that shows nothing', {}, null],
    [
      'a ring of devices, which there cannot be',
      {
        files: {
          [mounts]: rootOn('254:9', '/dev/dm-9'),
          [`${block}/254:9/slaves/dm-9/.`]: '',
          [`${named}/dm-9/slaves/dm-9/.`]: '',
        },
      },
      null,
    ],
    ['macOS with FileVault', { platform: 'darwin', programs: { 'fdesetup status': 'FileVault is On.\n' } }, true],
  ];
  for (const [name, parts, encrypted] of machines) {
    it(`is ${encrypted} on ${name}`, async () => {
      const { posture } = await diskEncryption(fakeSystem(parts));
      assert.deepEqual(posture, { disk_encrypted: encrypted });
    });
  }

  it('is asked of Windows by numbers, which have no language', async () => {
    const windows = fakeSystem({ platform: 'win32', run: async () => '1\r\n' });
    assert.deepEqual(await diskEncryption(windows), { posture: { disk_encrypted: true } });
    assert.deepEqual(['1\r\n', '0\r\n', '2\r\n', '', '1 1', null].map(parseProtectionStatus), [
      true,
      false,
      null,
      null,
      null,
      null,
    ]);
  });

  it('counts on macOS only when it is complete', () => {
    assert.equal(parseFdesetup('FileVault is Off.\n'), false);
    assert.equal(parseFdesetup('FileVault is On.\nEncryption in progress: Percent completed = 12\n'), false);
    assert.equal(parseFdesetup('FileVault is On.\nDecryption in progress: Percent completed = 80\n'), false);
    assert.equal(parseFdesetup('FileVault is Off, but will be enabled after the next restart.\n'), false);
    assert.equal(parseFdesetup('Error: something else\n'), null);
    assert.equal(parseFdesetup(null), null);
  });

  it('looks at what was mounted last over the root', () => {
    const before = '20 1 0:2 / / rw - rootfs rootfs rw\n30 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw\n';
    assert.deepEqual(parseRootMount(before), { number: '8:2', source: '/dev/sda2' });
    assert.equal(parseRootMount('nonsense\n'), null);
  });
});

describe('boot mode', () => {
  const variable = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';

  const machines: readonly [name: string, parts: FakeSystemParts, posture: object][] = [
    [
      'UEFI with secure boot',
      { files: { [variable]: Buffer.from([6, 0, 0, 0, 1]) } },
      { boot_mode: 'uefi', secure_boot: true },
    ],
    [
      'UEFI without it',
      { files: { [variable]: Buffer.from([6, 0, 0, 0, 0]) } },
      { boot_mode: 'uefi', secure_boot: false },
    ],
    ['UEFI that hides it', { files: { '/sys/firmware/efi/runtime': '' } }, { boot_mode: 'uefi', secure_boot: null }],
    ['BIOS', { files: { '/sys/firmware/acpi/tables': '' } }, { boot_mode: 'bios', secure_boot: false }],
    [
      'a board with a device tree',
      { architecture: 'arm64', files: { '/sys/firmware/fdt': '' } },
      { boot_mode: null, secure_boot: null },
    ],
    ['a container, where firmware is hidden', { files: {} }, { boot_mode: null, secure_boot: null }],
    [
      'a Mac',
      {
        platform: 'darwin',
        programs: { 'system_profiler SPiBridgeDataType': 'Controller:\n\n      Secure Boot: Full Security\n' },
      },
      { boot_mode: 'apple', secure_boot: true },
    ],
    [
      'Windows with secure boot',
      {
        platform: 'win32',
        programs: {
          'reg query HKLM\\SYSTEM\\CurrentControlSet\\Control /v PEFirmwareType': registry(
            'PEFirmwareType',
            'REG_DWORD',
            '0x2',
          ),
          'reg query HKLM\\SYSTEM\\CurrentControlSet\\Control\\SecureBoot\\State /v UEFISecureBootEnabled': registry(
            'UEFISecureBootEnabled',
            'REG_DWORD',
            '0x1',
          ),
        },
      },
      { boot_mode: 'uefi', secure_boot: true },
    ],
  ];
  for (const [name, parts, posture] of machines) {
    it(`is right on ${name}`, async () => {
      assert.deepEqual(await bootMode(fakeSystem(parts)), { posture });
    });
  }

  it('takes nothing for granted that it cannot read', () => {
    assert.equal(parseSecureBoot(null), null);
    assert.equal(parseSecureBoot(Buffer.from([6, 0, 0, 0])), null);
    assert.equal(parseSecureBoot(Buffer.from([6, 0, 0, 0, 7])), null);
    assert.deepEqual(parseProfiler('nothing of it'), { boot_mode: null, secure_boot: null });
    assert.deepEqual(parseProfiler('   Secure Boot: Permissive Security\n'), {
      boot_mode: 'apple',
      secure_boot: false,
    });
    assert.deepEqual(parseRegistry(null, null), { boot_mode: null, secure_boot: null });
    assert.deepEqual(parseRegistry(registry('PEFirmwareType', 'REG_DWORD', '0x1'), null), {
      boot_mode: 'bios',
      secure_boot: false,
    });
    assert.deepEqual(parseRegistry('garbage', registry('UEFISecureBootEnabled', 'REG_SZ', '0x1')), {
      boot_mode: null,
      secure_boot: null,
    });
  });
});

describe('the operating system', () => {
  it('names its release on each platform', async () => {
    const debian = fakeSystem({
      files: { '/etc/os-release': 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n' },
    });
    assert.deepEqual(await osVersion(debian), {
      posture: { os_version: 'Debian GNU/Linux 13 (trixie)', kernel_version: '6.12.0' },
    });
    const mac = fakeSystem({
      platform: 'darwin',
      programs: {
        'sw_vers ': 'x',
        sw_vers: 'ProductName:\t\tmacOS\nProductVersion:\t\t15.6.1\nBuildVersion:\t\t24G90\n',
      },
    });
    assert.deepEqual((await osVersion(mac)).posture?.['os_version'], 'macOS 15.6.1');
    const text = `${registry('DisplayVersion', 'REG_SZ', '24H2')}${registry('CurrentBuild', 'REG_SZ', '26100')}${registry('UBR', 'REG_DWORD', '0x7f1')}`;
    assert.equal(parseWindows('Windows 11 Pro', text), 'Windows 11 Pro 24H2 (26100.2033)');
  });

  it('reads the quoting of os-release, and goes without its usual name', () => {
    assert.equal(parseOsRelease('PRETTY_NAME=\'A \\"quoted\\" name\'\n'), 'A "quoted" name');
    assert.equal(parseOsRelease('NAME=Alpine\nVERSION=3.22\n'), 'Alpine 3.22');
    assert.equal(parseOsRelease(''), null);
    assert.equal(parseSwVers(''), null);
    assert.equal(parseSwVers(null), null);
    assert.equal(parseWindows('', null), null);
  });
});

describe('the other facts', () => {
  it('name the platform as downloads do', async () => {
    assert.deepEqual(await platform(fakeSystem({ platform: 'win32' })), { platform: 'windows-x64' });
    assert.deepEqual(await platform(fakeSystem({ platform: 'darwin', architecture: 'arm64' })), {
      platform: 'darwin-arm64',
    });
  });

  it('leave out a host name that is none, and cut one that is too long', async () => {
    assert.deepEqual(await hostname(fakeSystem({ hostname: () => '' })), {});
    assert.equal((await hostname(fakeSystem({ hostname: () => 'x'.repeat(400) }))).hostname?.length, 253);
  });

  it('say when the machine booted, the same while it runs, and another time after a boot', async () => {
    let now = Date.parse('2026-11-22T12:00:00Z');
    let uptimeSeconds = 7_267;
    const system = fakeSystem({ uptimeSeconds: () => uptimeSeconds });
    const uptime = createUptime(() => now);
    const first = await uptime(system);
    assert.deepEqual(first, { posture: { booted_at: '2026-11-22T10:00:00.000Z' } });
    for (const drift of [0, 3_000, -3_000, 240_000]) {
      now += 3_600_000 + drift;
      uptimeSeconds += 3_600;
      assert.deepEqual(await uptime(system), first);
    }
    now += 3_600_000;
    uptimeSeconds = 60;
    assert.notDeepEqual(await uptime(system), first);
    uptimeSeconds = Number.NaN;
    assert.deepEqual(await uptime(system), { posture: { booted_at: null } });
  });

  it('are one line without control characters, at most as long as the server takes', () => {
    assert.equal(clean(' a\u0000b\n c\u001b[31m '), 'a b c [31m');
    assert.equal(clean('\n\t'), null);
    assert.equal(clean('x'.repeat(300))?.length, 256);
  });
});

describe('the observer', () => {
  const deps = (system: System = fakeSystem(), elapsed = { ms: 0 }) => ({
    system,
    agentVersion: '0.1.0',
    tags: ['lab'],
    directory: null,
    elapsedMs: () => elapsed.ms,
    now: () => Date.parse('2026-11-22T12:00:00Z') + elapsed.ms,
  });

  it('says the same of a machine on which nothing changes, and looks no oftener than it has to', async () => {
    const elapsed = { ms: 0 };
    const system = fakeSystem({ uptimeSeconds: () => 5_000 + elapsed.ms / 1000 });
    const observe = createObserver(deps(system, elapsed));
    const first = await observe();
    const looks = system.looked.length;
    for (const seconds of [15, 30, 45, 59]) {
      elapsed.ms = seconds * 1000;
      assert.deepEqual(await observe(), first);
    }
    assert.equal(system.looked.length, looks);
    elapsed.ms = 3_600_000;
    assert.deepEqual(await observe(), first);
    assert.ok(system.looked.length > looks);
  });

  it('says what the device is called in a directory, and nothing where it is in none (HB-09)', async () => {
    const directory = { entra_device_id: 'e-1', azure_ad_device_id: 'a-1' };
    const observed = await createObserver({ ...deps(fakeSystem()), directory })();
    assert.deepEqual(observed.directory, directory);
    assert.ok(!('directory' in (await createObserver(deps(fakeSystem()))())));
  });

  it('says what has changed when it looks again', async () => {
    const elapsed = { ms: 0 };
    let name = 'before';
    const observe = createObserver(deps(fakeSystem({ hostname: () => name }), elapsed));
    assert.equal((await observe()).hostname, 'before');
    name = 'after';
    elapsed.ms = 60_000;
    assert.equal((await observe()).hostname, 'after');
  });

  it('sends what the server takes, from this machine too', async () => {
    for (const system of [
      createSystem(),
      fakeSystem(),
      fakeSystem({ platform: 'win32' }),
      fakeSystem({ platform: 'aix' }),
    ]) {
      const observed = await createObserver(deps(system))();
      const body = { device_id: 'lab-1', heartbeat_counter: 1, ...observed };
      assert.ok(Check(HeartbeatBody, body), JSON.stringify(body));
      assert.deepEqual(Object.keys(observed.posture ?? {}).toSorted(), [
        'boot_mode',
        'booted_at',
        'disk_encrypted',
        'kernel_version',
        'os_version',
        'secure_boot',
      ]);
    }
  });
});

describe('the machine itself', () => {
  it('reads files without a size, and nothing that is not there', async () => {
    const system = createSystem();
    assert.match((await system.readFile('/proc/self/mountinfo'))?.toString() ?? '', /\d+:\d+/);
    assert.equal(await system.readFile('/does/not/exist'), null);
    assert.equal(await system.list('/does/not/exist'), null);
    assert.equal(await system.run('fdesetup', ['status']), null);
  });

  it('reads no more than a fact can need', async () => {
    assert.equal((await createSystem().readFile('/dev/zero'))?.length, 64 * 1024);
  });
});
