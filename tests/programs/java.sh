# A JVM: many threads, large reservations, signals as part of its own working.
command -v java >/dev/null && command -v javac >/dev/null || exit 77
cat >Main.java <<'END'
import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class Main {
  public static void main(String[] a) throws Exception {
    System.out.println(IntStream.rangeClosed(1, 1000).parallel().mapToLong(x -> (long) x * x).sum());
    ExecutorService ex = Executors.newFixedThreadPool(4); List<Future<Integer>> fs = new ArrayList<>();
    for (int i = 0; i < 20; i++) { final int n = i; fs.add(ex.submit(() -> n * n)); } int s = 0; for (Future<Integer> f : fs) s += f.get(); ex.shutdown(); System.out.println(s);
    Path p = Files.writeString(Path.of("file"), "text"); System.out.println(Files.size(p) + " " + Files.readString(p)); Files.delete(p);
    Process c = new ProcessBuilder("echo", "child").start(); System.out.println(new String(c.getInputStream().readAllBytes()).trim() + c.waitFor());
    try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("npe"); }
    byte[][] g = new byte[50][]; for (int i = 0; i < 500; i++) g[i % 50] = new byte[200000]; System.gc(); System.out.println("gc"); Thread.sleep(20);
  }
}
END
javac Main.java && java -Xmx128m Main
