// The scripts that join `sentinel __complete` to each shell. Each hands over the words up to the cursor and reads
// `value<tab>description` lines; where there are none, the shell offers files.

export const shells = ['bash', 'zsh', 'fish', 'pwsh'] as const;
export type Shell = (typeof shells)[number];

// Works in bash 3.2 too, which macOS has. Ids may hold colons, at which bash breaks words: what stands before the last
// one is typed already.
const bash = String.raw`# bash completion of sentinel
_sentinel() {
  local line="${'$'}{COMP_LINE:0:COMP_POINT}" words=() value colons
  read -ra words <<< "$line"
  case "$line" in *' ') words+=('') ;; esac
  local current="${'$'}{words[${'$'}{#words[@]}-1]}"
  colons="${'$'}{current%"${'$'}{current##*:}"}"
  case "$COMP_WORDBREAKS" in *:*) ;; *) colons='' ;; esac
  COMPREPLY=()
  while IFS=$'\t' read -r value _; do
    COMPREPLY+=("${'$'}{value#"$colons"}")
  done < <("$1" __complete -- "${'$'}{words[@]:1}" 2>/dev/null)
}
complete -o bashdefault -o default -F _sentinel sentinel`;

const zsh = String.raw`#compdef sentinel
# zsh completion of sentinel
_sentinel() {
  local -a found
  local value description
  while IFS=$'\t' read -r value description; do
    found+=("${'$'}{value//:/\\:}:$description")
  done < <("${'$'}{words[1]}" __complete -- "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${'$'}{#found} )); then _describe sentinel found; else _files; fi
}
if [[ "${'$'}{funcstack[1]}" = _sentinel ]]; then _sentinel "$@"; else compdef _sentinel sentinel; fi`;

const fish = String.raw`# fish completion of sentinel
function __sentinel_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c sentinel -f -a '(__sentinel_complete)'
complete -c sentinel -F -n 'string match -qr -- "^--(out|ca-file|password-file|env-file)\$" (commandline -opc)[-1]'`;

const pwsh = String.raw`# PowerShell completion of sentinel
Register-ArgumentCompleter -Native -CommandName sentinel -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
  if ($wordToComplete -eq '') { $words += '' }
  sentinel __complete -- @words 2>$null | ForEach-Object {
    $value, $description = $_ -split "${'`'}t", 2
    if (-not $description) { $description = $value }
    [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $description)
  }
}`;

export const completionScripts: Record<Shell, string> = { bash, zsh, fish, pwsh };
