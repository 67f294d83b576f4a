// A limit: reads the file and adds up its bytes, which every parser has to look at.
#include "lines.h"
#include <fcntl.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];

static long run(const char *path) {
    if (!*path) return 0;
    int file = open(path, O_RDONLY);
    long sum = 0, n;
    while ((n = read(file, buffer, sizeof buffer)) > 0)
        for (long i = 0; i < n; i++) sum += buffer[i];
    close(file);
    return sum;
}

int main(void) { serve(run); }
