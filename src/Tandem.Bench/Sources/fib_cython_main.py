from fib_cython import run
from lines import serve

serve(fib=run)
