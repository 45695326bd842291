package io.cairnlog;

/**
 * What was removed from the commit log; immutable, usable from any thread. The space is free once
 * the last message read from a file is gone.
 */
public final class RemovedFiles {
  private final long files;
  private final long bytes;

  RemovedFiles(long[] figures) {
    files = figures[0];
    bytes = figures[1];
  }

  /**
   * Returns the number of commit log files; callable from any thread.
   *
   * @return the number
   */
  public long files() {
    return files;
  }

  /**
   * Returns their size; callable from any thread.
   *
   * @return bytes
   */
  public long bytes() {
    return bytes;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof RemovedFiles
        && ((RemovedFiles) other).files == files
        && ((RemovedFiles) other).bytes == bytes;
  }

  @Override
  public int hashCode() {
    return 31 * Long.hashCode(files) + Long.hashCode(bytes);
  }

  @Override
  public String toString() {
    return "RemovedFiles[files=" + files + ", bytes=" + bytes + "]";
  }
}
