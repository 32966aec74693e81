# CPython: the parts of its library that lean on the kernel.
[ -x /usr/bin/python3 ] || exit 77
/usr/bin/python3 - <<'END'
import os, sys, threading, subprocess, tempfile, mmap, socket, select, signal, time, queue, struct
import asyncio, multiprocessing, concurrent.futures, json, hashlib, shutil, pathlib, fcntl, resource

print(sum(i * i for i in range(100000)))
q = queue.Queue()
ts = [threading.Thread(target=lambda n=n: q.put(n * n)) for n in range(20)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(q.get() for _ in ts))
print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout.strip())
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(p.communicate(b"x" * 200000)[0].count(b"x"))
print(subprocess.run("exit 5", shell=True).returncode)
print(subprocess.run(["sleep", "9"], timeout=0.1) if False else "no wait")
try:
    subprocess.run(["sleep", "9"], timeout=0.1)
except subprocess.TimeoutExpired:
    print("timed out")
pid = os.fork()
if pid == 0:
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with tempfile.TemporaryDirectory(dir=".") as d:
    f = pathlib.Path(d) / "file"
    f.write_text("text\n" * 1000)
    print(f.stat().st_size, hashlib.sha256(f.read_bytes()).hexdigest()[:16])
    with open(f, "r+b") as h:
        m = mmap.mmap(h.fileno(), 0)
        m[0:4] = b"TEXT"; m.flush(); m.close()
    print(f.read_text()[:9].split())
    shutil.copytree(d, d + ".copy"); shutil.rmtree(d + ".copy")
m = mmap.mmap(-1, 4096)
if os.fork() == 0:
    m[0:5] = b"child"; os._exit(0)
os.wait(); print(m[0:5])
a, b = socket.socketpair(); a.send(b"ping"); print(b.recv(10))
r, w = os.pipe(); print(select.select([r], [], [], 0.01)[0] == []); os.write(w, b"1"); print(len(select.select([r], [], [], 1)[0]))
ep = select.epoll(); ep.register(r, select.EPOLLIN); print(ep.poll(1)[0][1])
got = []; signal.signal(signal.SIGALRM, lambda *x: got.append(x[0])); signal.setitimer(signal.ITIMER_REAL, 0.02); signal.pause(); print(got)
t = time.monotonic(); time.sleep(0.03); print(time.monotonic() - t >= 0.03)
async def main():
    p = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate()
    return await asyncio.gather(asyncio.sleep(0.01, out), *[asyncio.sleep(0.01, i) for i in range(3)])
print(asyncio.run(main()))
with concurrent.futures.ThreadPoolExecutor(4) as ex: print(list(ex.map(lambda x: x * 2, range(8))))
fcntl.flock(open("lock", "w"), fcntl.LOCK_EX); print(resource.getrlimit(resource.RLIMIT_CORE)[0] >= 0 or True)
print('0' in os.listdir("/proc/self/fd"), open("/proc/self/comm").read().strip()[:6], os.readlink("/proc/self/cwd") == os.getcwd())
END
cat >mp.py <<'END'
import multiprocessing as mp, sqlite3
def f(x): return x ** 3
if __name__ == "__main__":
    with mp.Pool(2) as p: print(p.map(f, range(10)))
    q = mp.Queue(); p = mp.Process(target=q.put, args=("queued",)); p.start(); print(q.get()); p.join()
    v = mp.Value("i", 0)
    def inc():
        for _ in range(500):
            with v.get_lock(): v.value += 1
    ps = [mp.Process(target=inc) for _ in range(3)]; [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    db = sqlite3.connect("db.sqlite"); db.execute("create table t (a, b)")
    db.executemany("insert into t values (?, ?)", [(i, i * i) for i in range(1000)]); db.commit()
    print(db.execute("select count(*), sum(b) from t").fetchone())
END
/usr/bin/python3 mp.py
