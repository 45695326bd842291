package io.cairnlog;

import java.nio.file.Path;

/**
 * A store that is only read, from {@link CairnStore#openReader}, also while another process, or
 * this one, writes it; usable and closable from any thread. It takes no lock, makes no file and
 * changes nothing; the right to read the directory is enough.
 *
 * <p>Every call looks at what the writer stored until then: messages of a queue once the writer
 * dispatched them, records of the log as soon as they are whole. Waiting calls look again in pauses
 * that double up to 50 ms while nothing comes. The writer may close the store, die, and open it
 * again. What retention removes can be read no longer a second later, at most. Should the writer
 * cut the log below what was read, which it does only after damage, reading there throws {@link
 * CorruptionException}, and the reader has to be opened again.
 */
public final class StoreReader extends ReadableStore {
  StoreReader(long reader, Path directory) {
    super(reader, directory, "reader");
  }

  /**
   * Closes the reader, from any thread, and does nothing when that was done already. Waits of other
   * threads end with {@link StoreClosedException}.
   */
  @Override
  public void close() {
    if (!beginClose()) {
      return;
    }
    try {
      Native.storeClose(closing());
    } finally {
      leave();
      closed();
    }
  }
}
