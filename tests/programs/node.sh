# Node: its event loop, threads, children, files.
command -v node >/dev/null || exit 77
cat >main.js <<'END'
const fs = require('fs'), cp = require('child_process'), net = require('net'), { Worker } = require('worker_threads'), crypto = require('crypto');
(async () => {
  console.log([...Array(5).keys()].map(x => x ** 2));
  fs.writeFileSync('f', 'x'.repeat(100000)); console.log(fs.statSync('f').size);
  console.log((await fs.promises.readFile('f')).length);
  console.log(cp.execSync('echo child').toString().trim());
  console.log(await new Promise(r => { const c = cp.spawn('cat'); let s = ''; c.stdout.on('data', d => s += d); c.on('close', () => r(s)); c.stdin.end('through cat'); }));
  console.log(await new Promise(r => { const w = new Worker('require("worker_threads").parentPort.postMessage(6*7)', { eval: true }); w.on('message', r); }));
  console.log(await new Promise(r => setTimeout(() => r('timer'), 20)));
  console.log(await new Promise(r => { const s = net.createServer(c => c.end('unix socket')).listen('./sock', () => net.connect('./sock').on('data', d => { s.close(); r(d.toString()); })); }));
  console.log(crypto.createHash('sha256').update('x').digest('hex').slice(0, 16), crypto.randomBytes(8).length);
  console.log(await new Promise(r => crypto.pbkdf2('p', 's', 1000, 16, 'sha256', (e, k) => r(k.toString('hex')))));
  fs.mkdirSync('d/e', { recursive: true }); fs.renameSync('f', 'd/e/g'); console.log(fs.readdirSync('d/e')); fs.rmSync('d', { recursive: true }); console.log(fs.existsSync('d'));
})();
END
node main.js
