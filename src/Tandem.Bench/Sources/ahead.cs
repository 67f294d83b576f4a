return Tandem.Bench.Work.Workloads.Run(args[0]);
