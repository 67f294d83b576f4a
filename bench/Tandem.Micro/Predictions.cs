using BenchmarkDotNet.Attributes;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Micro;

/// <summary>A forest of 100 trees on the iris data, as <c>tandem model train</c> makes it.</summary>
public class Predictions
{
    static readonly byte[] Record = """{"sepal_length":5.9,"sepal_width":3.0,"petal_length":5.1,"petal_width":1.8}"""u8.ToArray();

    readonly double[] _row = [5.9, 3.0, 5.1, 1.8];
    readonly double[] _scores = new double[3];
    Model? _model;
    Forest? _forest;

    [GlobalSetup]
    public void SetUp()
    {
        var data = TrainingData.Of(CsvTable.Read(Path.Combine(AppContext.BaseDirectory, "iris.csv"), default), "species");
        _model = ModelTrainer.Train(data, new TrainingOptions(), null, default).Model;
        _forest = _model.Forest;
    }

    [Benchmark(Description = "a row through 100 trees")]
    public double Row()
    {
        _forest!.Score(_row, _scores); // made by SetUp
        return _scores[0];
    }

    [Benchmark(Description = "a JSON record through 100 trees")]
    public bool JsonRecord() => _model!.Score(Record, _scores) is null; // made by SetUp
}
