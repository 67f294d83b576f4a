#include "lines.h"
#include <stdlib.h>

static long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static long run(const char *argument) { return fib(atol(argument)); }

int main(void) { serve(run); }
