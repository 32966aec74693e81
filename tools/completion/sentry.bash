# bash completion for sentry
_sentry()
{
	local cur prev i cmd=
	local opts='--rootfs --read-only --overlay --volume --tmpfs --workdir --user --env --env-all
		--hostname --platform --no-patch --timeout --memory --dirent-cache --strace --log --debug
		--quiet --version --help'
	local valued=' --rootfs --overlay --volume -v --tmpfs --workdir -w --user -u --env -e
		--hostname --platform --timeout --memory --dirent-cache --log '

	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD-1]}
	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W 'exec --help --version' -- "$cur"))
		return
	fi
	# The first word that is neither an option nor an option's value is the command.
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) cmd=$((i + 1)); break ;;
		-*) [[ $valued == *" ${COMP_WORDS[i]} "* ]] && ((i++)) ;;
		*) cmd=$i; break ;;
		esac
	done
	if [ -n "$cmd" ] && [ "$COMP_CWORD" -gt "$cmd" ]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		return
	fi
	case $prev in
	--overlay) COMPREPLY=($(compgen -W 'memory none' -- "$cur")); return ;;
	--platform) COMPREPLY=($(compgen -W 'seccomp ptrace' -- "$cur")); return ;;
	--rootfs | --workdir | -w | --volume | -v) COMPREPLY=($(compgen -d -- "$cur")); return ;;
	--log) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--user | -u) COMPREPLY=($(compgen -u -- "$cur")); return ;;
	--env | -e) COMPREPLY=($(compgen -v -- "$cur")); return ;;
	--hostname | --timeout | --memory | --dirent-cache | --tmpfs) return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$opts" -- "$cur"))
	else
		COMPREPLY=($(compgen -c -- "$cur"))
	fi
}
complete -F _sentry sentry
