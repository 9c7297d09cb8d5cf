<#
.SYNOPSIS
Looks at everything that the Sentinel agent needs on this machine before it is installed, and changes nothing.
.DESCRIPTION
Checks who may change the executable, who may read the key, whether the agent's account can write its state, and then
has the executable check the configuration itself. Windows PowerShell 5.1 or newer, as administrator.
.EXAMPLE
powershell -ExecutionPolicy Bypass -File .\preflight-agent-config.ps1
#>
#Requires -Version 5.1
[CmdletBinding()]
param(
    [string] $ConfigPath = 'C:\ProgramData\Sentinel\agent\config.json',
    [string] $ExecutablePath = 'C:\Program Files\Sentinel\sentinel-agent.exe',
    # Account that the task runs as: LOCAL SERVICE.
    [string] $AccountSid = 'S-1-5-19'
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$script:mistakes = 0

function Write-Finding([string] $Level, [string] $Message, [string] $Advice) {
    if ($Level -eq 'error') { $script:mistakes += 1 }
    Write-Output ('{0,-9}{1}' -f $Level, $Message)
    if ($Advice -ne '') { Write-Output ('         -> ' + $Advice) }
}

# Everyone, anonymous, signed-in people, people at this machine, users, guests.
$everybody = @('S-1-1-0', 'S-1-5-7', 'S-1-5-11', 'S-1-5-4', 'S-1-5-32-545', 'S-1-5-32-546')

# Combined rights of some accounts on a file or folder, by SID, so that the language of Windows does not matter.
function Get-GrantedRights([string] $Path, [string[]] $Sids) {
    $allowed = 0
    $rules = (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    foreach ($rule in $rules) {
        $onlyInherited = ($rule.PropagationFlags -band [System.Security.AccessControl.PropagationFlags]::InheritOnly) -ne 0
        if ($rule.AccessControlType -eq 'Allow' -and -not $onlyInherited -and $Sids -contains $rule.IdentityReference.Value) {
            $allowed = $allowed -bor [int] $rule.FileSystemRights
        }
    }
    return $allowed
}

# Each of these is enough to put something else there, or to read. Rights may also be given as generic ones: all, write, read.
$genericAll = 0x10000000
$genericWrite = 0x40000000
$genericRead = [int]::MinValue
$changing = $genericAll -bor $genericWrite -bor [int] ([System.Security.AccessControl.FileSystemRights] 'WriteData, AppendData, Delete, DeleteSubdirectoriesAndFiles, ChangePermissions, TakeOwnership')
$reading = $genericAll -bor $genericRead -bor [int] ([System.Security.AccessControl.FileSystemRights] 'ReadData')
$writing = $genericAll -bor $genericWrite -bor [int] ([System.Security.AccessControl.FileSystemRights] 'WriteData')

function Test-Protected([string] $Path, [int] $Forbidden, [string] $What, [string] $Advice) {
    if (((Get-GrantedRights $Path $everybody) -band $Forbidden) -ne 0) {
        Write-Finding 'error' "$Path can be $What by every user" $Advice
    } else {
        Write-Finding 'ok' "$Path cannot be $What by other users" ''
    }
}

$folder = Split-Path -Parent $ConfigPath
$closeFolder = 'Close it: icacls "' + $folder + '" /inheritance:r /grant:r "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*' + $AccountSid + ':(OI)(CI)M"'

if (-not (Test-Path -LiteralPath $ExecutablePath -PathType Leaf)) {
    Write-Finding 'error' "$ExecutablePath does not exist" 'Copy sentinel-agent.exe there, or name it with -ExecutablePath.'
} else {
    foreach ($path in @($ExecutablePath, (Split-Path -Parent $ExecutablePath))) {
        Test-Protected $path $changing 'changed' 'Keep it below C:\Program Files, with the rights that are inherited there.'
    }
}

$config = $null
if (-not (Test-Path -LiteralPath $ConfigPath -PathType Leaf)) {
    Write-Finding 'error' "$ConfigPath does not exist" 'Copy config.example.json there and fill it in.'
} else {
    Test-Protected $folder $changing 'changed' $closeFolder
    Test-Protected $ConfigPath $changing 'changed' $closeFolder
    try {
        $config = Get-Content -Raw -Encoding UTF8 -LiteralPath $ConfigPath | ConvertFrom-Json
    } catch {
        Write-Finding 'error' "$ConfigPath is not JSON" 'A backslash in a path is written twice. Look for a missing comma or quote.'
    }
}

function Get-ConfiguredPath([string] $Key) {
    $property = $config.PSObject.Properties[$Key]
    if ($null -eq $property -or [string]::IsNullOrEmpty([string] $property.Value)) { return '' }
    $value = [string] $property.Value
    if ([System.IO.Path]::IsPathRooted($value)) { return $value }
    return Join-Path $folder $value
}

if ($null -ne $config) {
    $key = Get-ConfiguredPath 'private_key_path'
    if ($key -ne '' -and (Test-Path -LiteralPath $key -PathType Leaf)) {
        Test-Protected $key ($reading -bor $changing) 'read or changed' $closeFolder
        if (((Get-GrantedRights $key @($AccountSid)) -band $reading) -eq 0) {
            Write-Finding 'error' "$key may not be read by the account of the agent ($AccountSid)" $closeFolder
        }
    }
    $state = Get-ConfiguredPath 'state_path'
    if ($state -ne '') {
        $stateFolder = Split-Path -Parent $state
        if (-not (Test-Path -LiteralPath $stateFolder -PathType Container)) {
            Write-Finding 'error' "$stateFolder does not exist" 'Make the folder, or correct state_path.'
        } elseif (((Get-GrantedRights $stateFolder @($AccountSid)) -band $writing) -eq 0) {
            Write-Finding 'error' "$stateFolder may not be written to by the account of the agent ($AccountSid)" $closeFolder
        }
    }
    if (Test-Path -LiteralPath $ExecutablePath -PathType Leaf) {
        # The agent knows its configuration best: keys, certificate, clock and the way to the server.
        & $ExecutablePath preflight --config $ConfigPath
        if ($LASTEXITCODE -ne 0) { $script:mistakes += 1 }
    }
}

if ($script:mistakes -gt 0) {
    Write-Output 'The agent should not be installed like this.'
    exit 1
}
Write-Output 'The agent can be installed.'
exit 0
