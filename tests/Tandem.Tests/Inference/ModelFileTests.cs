using System.Text;
using Tandem.Core.Data;
using Tandem.Core.Files;
using Tandem.Inference.Models;
using Tandem.Inference.Training;

namespace Tandem.Tests.Inference;

[Storeless("A file that is written and read.")]
public sealed class ModelFileTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    static readonly TrainedModel Birds = Tables.Train(TrainingData.Of(Tables.Read(Tables.Birds()), "kind"), 3);

    [Fact]
    public void A_model_read_from_its_file_is_the_model_that_was_written()
    {
        var read = ModelFile.Read(Birds.File);
        Assert.Equal(3, read.Description.Training.Trees);
        Assert.Equal(90, read.Description.Training.Rows);
        Assert.InRange(read.Description.Golden.Length, 6, 7);
        Assert.Contains(read.Description.Golden, g => g.Record.EnumerateObject().Any(p => p.Value.ValueKind == System.Text.Json.JsonValueKind.Null));
    }

    [Fact]
    public void A_file_cut_short_at_any_byte_is_refused()
    {
        for (var length = 0; length < Birds.File.Length; length++)
            Assert.Throws<UnusableModelException>(() => ModelFile.Read(Birds.File.AsSpan(0, length)));
        Assert.Throws<UnusableModelException>(() => ModelFile.Read([.. Birds.File, 0]));
    }

    /// <summary>The digest would catch these; a file made to harm has the right one.</summary>
    [Fact]
    public void A_file_with_any_byte_changed_is_refused_or_still_a_sound_model()
    {
        var bytes = Birds.File.ToArray();
        var refused = 0;
        for (var at = 0; at < bytes.Length; at++)
            foreach (var change in (byte[])[0x01, 0x80, 0xFF])
            {
                bytes[at] ^= change;
                try
                {
                    // Words of the description may differ and the model be sound; then it answers.
                    ModelFile.Read(bytes).Score("{}"u8, new double[3]);
                }
                catch (UnusableModelException)
                {
                    refused++;
                }

                bytes[at] ^= change;
            }

        Assert.InRange(refused, bytes.Length, 3 * bytes.Length);
    }

    [Fact]
    public void Counts_beyond_the_file_cost_no_memory()
    {
        foreach (var at in (int[])[12, 16, 20, 24, 28, 32])
            foreach (var value in (int[])[int.MaxValue, int.MinValue, -1, 0, 1 << 20])
            {
                var bytes = Birds.File.ToArray();
                BitConverter.TryWriteBytes(bytes.AsSpan(at), value);
                var before = GC.GetAllocatedBytesForCurrentThread();
                Assert.Throws<UnusableModelException>(() => ModelFile.Read(bytes));
                Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
            }
    }

    [Theory]
    [InlineData("\"kind\":\"forest\"", "\"kind\":\"floret\"", "it is of a kind, \"floret\"")]
    [InlineData("\"task\":\"classification\"", "\"task\":\"regression\"    ", "a regression has none")]
    [InlineData("\"nullable\":false", "\"nullable\":null ", "its description cannot be read")]
    [InlineData("\"encoding\":\"one_hot\"", "\"encoding\":\"ordinal\"", "made for other features")]
    [InlineData("\"name\":\"wing\"", "\"name\":\"ring\"", "golden row 1 of")]
    [InlineData("\"prediction\":\"puffin\"", "\"prediction\":\"muffin\"", "is predicted as \"puffin\" instead of \"muffin\"")]
    [InlineData("\"wing\":1", "\"wing\":0.1", "golden row 1 of")]
    [InlineData("\"scores\":[", "\"scores\":[0.5,", "has 4 scores instead of 3")]
    [InlineData("\"classes\":[\"", "\"classes\":[\"\\ud800", "no Unicode")]
    public void A_description_that_was_tampered_with_is_refused(string from, string to, string why)
    {
        var text = Encoding.Latin1.GetString(Birds.File);
        var at = text.IndexOf(from, StringComparison.Ordinal);
        Assert.True(at > 0, $"{from} is not in the description");
        var length = to.Length - from.Length;
        var bytes = Encoding.Latin1.GetBytes(text[..at] + to + text[(at + from.Length)..]);
        BitConverter.TryWriteBytes(bytes.AsSpan(12), BitConverter.ToInt32(bytes, 12) + length);
        Assert.Contains(why, Assert.Throws<UnusableModelException>(() => ModelFile.Read(bytes)).Message);
    }

    [Fact]
    public void A_file_of_another_version_says_so()
    {
        var bytes = Birds.File.ToArray();
        bytes[8] = 9;
        Assert.Equal("it has format version 9; this program reads version 1", Assert.Throws<UnusableModelException>(() => ModelFile.Read(bytes)).Message);
    }

    [Fact]
    public async Task A_stored_model_is_whole_or_refused()
    {
        var data = new DataDirectory(Path.Combine(Path.GetTempPath(), "tandem-tests", Guid.NewGuid().ToString("n")));
        try
        {
            var files = new ModelFiles(new DirectoryFiles(data, TimeProvider.System));
            var digest = await files.SaveAsync(Birds.File, Ct);
            Assert.Equal(90, (await files.LoadAsync(digest, Ct)).Description.Training.Rows);

            var path = data.Combine("files", digest);
            var bytes = await File.ReadAllBytesAsync(path, Ct);
            bytes[^1] ^= 1;
            await File.WriteAllBytesAsync(path, bytes, Ct);
            Assert.Contains("was changed since it was written", (await Assert.ThrowsAsync<UnusableModelException>(() => files.LoadAsync(digest, Ct))).Message);
            await files.SaveAsync(Birds.File, Ct);
            await files.LoadAsync(digest, Ct);
            File.Delete(path);
            Assert.Contains("cannot be read", (await Assert.ThrowsAsync<UnusableModelException>(() => files.LoadAsync(digest, Ct))).Message);

            // Where earlier versions kept it.
            await File.WriteAllBytesAsync(data.Combine("models", digest + ".model"), Birds.File, Ct);
            await files.LoadAsync(digest, Ct);
        }
        finally
        {
            Directory.Delete(data.Path, recursive: true);
        }
    }
}
