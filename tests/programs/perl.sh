# Perl, with processes, pipes and sockets.
command -v perl >/dev/null || exit 77
perl -e '
use strict; use warnings; use POSIX ":sys_wait_h"; use Socket; use IO::Handle; use Fcntl ":flock"; use File::Temp "tempdir";
my %h = map { $_ => $_ ** 2 } 1 .. 10; print join(",", map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), "\n";
pipe(my $r, my $w); my $pid = fork // die; if (!$pid) { close $r; print $w "from child\n"; exit 3 } close $w; print <$r>; waitpid $pid, 0; print $? >> 8, "\n";
print `echo backticks | tr a-z A-Z`; system("sh", "-c", "exit 4"); print $? >> 8, "\n";
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; $a->autoflush(1); print $a "line\n"; print scalar <$b>;
open my $f, "+>", "file" or die; flock $f, LOCK_EX; print $f "x" x 10000; close $f; print -s "file", "\n"; unlink "file"; print -e "file" ? "there" : "gone", "\n";
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 3; local $SIG{CHLD} = "IGNORE"; my $d = tempdir(DIR => ".", CLEANUP => 1); print -d $d ? "dir\n" : "no\n";
open my $p, "-|", "seq", 1, 1000 or die; my $s = 0; $s += $_ while <$p>; print "$s\n"; opendir my $dh, "/proc/self/fd" or die; print scalar(grep { /^\d+$/ } readdir $dh) > 2 ? "fds\n" : "none\n"; printf "%s\n", (stat "/dev/null")[2] & 0170000;'
