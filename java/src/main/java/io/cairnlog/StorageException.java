package io.cairnlog;

/**
 * Thrown on the calling thread when the machine refuses: a failed system call, a full device,
 * denied access, no memory. {@link #osCode()} is the operating system's number.
 */
public final class StorageException extends CairnException {
  private static final long serialVersionUID = 1L;

  StorageException(Failure failure) {
    super(failure);
  }
}
