using System.Runtime.CompilerServices;

namespace Tandem.Tests.Repo;

/// <summary>The checkout the tests were built from.</summary>
static class Repository
{
    public static string Root { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Here())!, "..", "..", ".."));

    /// <summary>With UPDATE_REFERENCE=1 what the code says is written to the file; otherwise the file must say it already.</summary>
    public static void ShouldSay(string path, string expected)
    {
        var file = Path.Combine(Root, path);
        if (Environment.GetEnvironmentVariable("UPDATE_REFERENCE") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(file, expected);
            return;
        }

        var actual = File.Exists(file) ? File.ReadAllText(file) : "";
        Assert.True(expected == actual, $"{path} is not what the code says any more; look at the difference after UPDATE_REFERENCE=1 ./test Repo, and commit it if it is meant.");
    }

    static string Here([CallerFilePath] string path = "") => path;
}
