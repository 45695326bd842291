// This must not compile with -Werror: the status is not looked at.
#include "cairnlog.h"

int main(void) {
    cairn_store_flush(NULL, NULL);
    return 0;
}
