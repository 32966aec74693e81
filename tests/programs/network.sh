# Servers and clients on the loopback device and on Unix sockets.
[ -x /usr/bin/python3 ] && command -v curl >/dev/null || exit 77
mkdir www && seq 1 20000 >www/numbers && echo hello >www/index.html
cat >server.py <<'END'
import functools, http.server, os
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory="www"))
open("port.tmp", "w").write(str(s.server_port)); os.rename("port.tmp", "port"); s.serve_forever()
END
/usr/bin/python3 server.py 2>/dev/null & server=$!
for i in $(seq 100); do [ -e port ] && break; sleep 0.05; done
url=http://127.0.0.1:$(cat port)
curl -s "$url/index.html"; curl -s "$url/numbers" | md5sum; curl -s -o /dev/null -w '%{http_code}\n' "$url/none"
for i in 1 2 3 4 5 6; do curl -s "$url/numbers" -o out$i & clients="$clients $!"; done; wait $clients
cat out? | wc -l; kill $server; wait $server 2>/dev/null
curl -s "$url/"; echo "refused: $?"
/usr/bin/python3 - <<'END'
import socket, threading, os, select, struct, array
def pair(kind, addr):
    s = socket.socket(kind, socket.SOCK_STREAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(addr); s.listen(5)
    def serve():
        c, _ = s.accept()
        while d := c.recv(65536): c.sendall(d.upper())
        c.close()
    t = threading.Thread(target=serve); t.start()
    c = socket.create_connection(s.getsockname()) if kind == socket.AF_INET else socket.socket(kind)
    if kind != socket.AF_INET: c.connect(addr)
    c.sendall(b"x" * 300000); c.shutdown(socket.SHUT_WR); n = 0
    while d := c.recv(65536): n += d.count(b"X")
    t.join(); print(kind.name, n)
pair(socket.AF_INET, ("127.0.0.1", 0)); pair(socket.AF_UNIX, "sock"); pair(socket.AF_UNIX, "\0abstract")
a, b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
a.bind(("127.0.0.1", 0)); b.sendto(b"datagram", a.getsockname()); print(a.recvfrom(100)[0])
l, r = socket.socketpair(); f = os.open("www/index.html", os.O_RDONLY)
socket.send_fds(l, [b"fd"], [f]); m, fds, _, _ = socket.recv_fds(r, 10, 4); print(m, os.read(fds[0], 100))
r.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1); l.send(b"c")
d, anc, _, _ = r.recvmsg(10, 100); print(d, struct.unpack("iii", anc[0][2])[0] == os.getpid())
print(socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4], socket.gethostbyname("127.0.0.1"))
END
