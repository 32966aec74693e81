# Random changes of names, from this process and its children, each followed by the same questions about random paths, three
# times over: what is remembered of them must not outlive a change. In /tmp, which the sandbox has to itself.
[ -x /usr/bin/python3 ] || exit 77
/usr/bin/python3 - <<'EOF'
import errno, os, random, shutil, socket, tempfile

NAMES = ["a", "b", "c", "d"]


def tried(f, *args, **kw):
    try:
        return f(*args, **kw)
    except OSError as e:
        return errno.errorcode[e.errno]


class Run:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.top = tempfile.mkdtemp(prefix="names-", dir="/tmp")
        self.base = self.top + "/x/y/z"
        os.makedirs(self.base)
        os.chdir(self.base)
        self.seen = []

    def path(self):
        p = "/".join(self.r.choice(NAMES) for _ in range(self.r.randint(1, 3)))
        k = self.r.random()
        return (self.base + "/" + p if k < .2 else "./" + p if k < .3 else "../z/" + p if k < .4
                else p + "/" if k < .45 else p + "/.." if k < .5 else p)

    def write(self, path):
        how = self.r.choice([0, os.O_EXCL, os.O_TRUNC, os.O_APPEND])
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | how, self.r.choice([0o644, 0o755, 0o600]))
        os.write(fd, b"x" * self.r.randint(0, 9))
        os.close(fd)

    def bind(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

    def in_child(self, path):
        f = self.r.choice([self.write, os.unlink, os.mkdir, os.rmdir])
        pid = os.fork()
        if pid == 0:
            tried(f, path)
            os._exit(0)
        os.waitpid(pid, 0)

    def change(self):
        r, path = self.r, self.path
        return r.choice([
            lambda: self.write(path()), lambda: self.write(path()),
            lambda: os.mkdir(path(), 0o755), lambda: os.mkdir(path(), 0o755),
            lambda: os.unlink(path()), lambda: os.rmdir(path()),
            lambda: os.rename(path(), path()), lambda: os.rename(path(), path()),
            lambda: os.symlink(r.choice([path(), "a", "../b", ".", "loop"]), path()),
            lambda: os.link(path(), path(), follow_symlinks=False),
            lambda: os.chmod(path(), r.choice([0o755, 0o711, 0o700, 0o644])),
            lambda: os.truncate(path(), r.randint(0, 20)),
            lambda: self.bind(path()), lambda: os.mkfifo(path()), lambda: self.in_child(path()),
            lambda: os.chdir(r.choice([path(), self.base, self.base])),
            lambda: os.utime(path(), (1, r.randint(1, 99)))])()

    def attributes(self, s):
        if isinstance(s, str):
            return s
        directory = os.path.stat.S_ISDIR(s.st_mode)
        return (s.st_mode, 0 if directory else s.st_size, 0 if directory else s.st_nlink)

    def look(self, path):
        fd = tried(os.open, path, os.O_RDONLY | os.O_NONBLOCK)
        if not isinstance(fd, str):
            os.close(fd)
            fd = "opened"
        return (path, self.attributes(tried(os.stat, path)), self.attributes(tried(os.lstat, path)),
                tried(os.access, path, os.R_OK), tried(os.access, path, os.X_OK), tried(os.readlink, path), fd)

    def steps(self, n):
        for i in range(n):
            how = tried(self.change)
            paths = [self.path() for _ in range(3)]
            for p in paths * 3:
                self.seen.append(repr((i, how if isinstance(how, str) else "", self.look(p))).replace(self.base, "BASE"))
        os.chdir("/")
        shutil.rmtree(self.top)
        return self.seen


for seed in range(6):
    for line in Run(seed).steps(700):
        print(seed, line)
EOF
