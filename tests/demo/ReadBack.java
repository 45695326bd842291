import io.cairnlog.CairnStore;
import io.cairnlog.MessageView;
import io.cairnlog.StoreOptions;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;

/** Prints the body of every message of a store, one per line, in log order. */
public final class ReadBack {
  private ReadBack() {}

  /**
   * Runs the program.
   *
   * @param arguments the store's directory
   * @throws IOException when the output is gone
   */
  public static void main(String[] arguments) throws IOException {
    StoreOptions options = StoreOptions.builder().build();
    try (OutputStream out = new BufferedOutputStream(System.out, 1 << 16);
        CairnStore store = CairnStore.open(Path.of(arguments[0]), options)) {
      for (MessageView message : store.scan(0)) {
        out.write(message.body());
        out.write('\n');
      }
    }
  }
}
