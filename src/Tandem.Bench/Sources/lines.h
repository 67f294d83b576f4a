// How a bench program is talked with: it says "ready", and answers each line ("fib 40") with "ok" and what it computed.
#include <stdio.h>
#include <string.h>

static void serve(long (*phase)(const char *argument)) {
    char line[4096];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *argument = strchr(line, ' ');
        printf("ok %ld\n", phase(argument ? argument + 1 : ""));
        fflush(stdout);
    }
}
