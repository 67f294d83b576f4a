using Microsoft.Extensions.Configuration;

namespace Tandem.Core.Configuration;

/// <summary>Where settings come from; the later source wins.</summary>
sealed class ConfigurationSources
{
    const string ProgramFile = "appsettings.json";

    readonly List<(string Name, IConfigurationRoot Root)> _sources;

    ConfigurationSources(List<(string Name, IConfigurationRoot Root)> sources)
    {
        _sources = sources;
        All = Combine(sources);
        Ours = Combine(sources.Where(s => s.Name != ProgramFile));
    }

    /// <summary>Every setting in force.</summary>
    public IConfiguration All { get; }

    /// <summary>The sources that hold nothing but ours: appsettings.json may have sections that only the program itself reads.</summary>
    public IConfiguration Ours { get; }

    public static ConfigurationSources Read(IEnumerable<KeyValuePair<string, string?>> commandLine) => new(
    [
        (ProgramFile, Build(b => b.SetBasePath(System.Environment.CurrentDirectory).AddJsonFile(ProgramFile, optional: true))),
        ("tandem.json", Build(b => b.SetBasePath(System.Environment.CurrentDirectory).AddJsonFile("tandem.json", optional: true))),
        ("environment", Build(b => b.AddInMemoryCollection(Environment("TANDEM_")))),
        ("command line", Build(b => b.AddInMemoryCollection(commandLine))),
    ]);

    /// <summary>The name of the source a setting comes from; "default" when none has it.</summary>
    public string SourceOf(string key) => _sources.LastOrDefault(s => s.Root.GetSection(key).Exists()).Name ?? "default";

    // TANDEM_TEST_… tells the suite where servers are; it is no setting of the program.
    static IEnumerable<KeyValuePair<string, string?>> Environment(string prefix) =>
        new ConfigurationBuilder().AddEnvironmentVariables(prefix).Build().AsEnumerable()
            .Where(s => s.Value is not null && !s.Key.StartsWith("TEST_", StringComparison.OrdinalIgnoreCase));

    static IConfigurationRoot Build(Action<IConfigurationBuilder> add)
    {
        var builder = new ConfigurationBuilder();
        try
        {
            add(builder);
            return builder.Build();
        }
        catch (InvalidDataException e)
        {
            throw new ConfigurationException($"{e.Message} {e.InnerException?.Message}");
        }
    }

    static IConfigurationRoot Combine(IEnumerable<(string Name, IConfigurationRoot Root)> sources)
    {
        var builder = new ConfigurationBuilder();
        foreach (var (_, root) in sources)
            builder.AddConfiguration(root);
        return builder.Build();
    }
}
